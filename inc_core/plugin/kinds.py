"""The kinds of component that a plugin can offer, and the hook of each."""

from __future__ import annotations

from collections.abc import Mapping

from inc_core.hookspecs.adaptor import AdaptorHooks
from inc_core.hookspecs.dataset import DatasetHooks
from inc_core.hookspecs.events import EventHooks
from inc_core.hookspecs.metric import MetricHooks
from inc_core.hookspecs.objective import ObjectiveHooks
from inc_core.hookspecs.observer import RangeRuleHooks
from inc_core.hookspecs.pruner import PrunerHooks
from inc_core.hookspecs.strategy import StrategyHooks
from inc_core.hookspecs.transform import TransformHooks

__all__ = ["GUESS_HOOK", "KINDS", "SPECIFICATIONS", "plural"]

KINDS: Mapping[str, str] = {
    "adaptor": "inc_adaptors",
    "strategy": "inc_strategies",
    "dataset": "inc_datasets",
    "transform": "inc_transforms",
    "metric": "inc_metrics",
    "objective": "inc_objectives",
    "observer": "inc_observers",
    "pruner": "inc_pruners",
}

GUESS_HOOK = "inc_guess_framework"

SPECIFICATIONS: tuple[type, ...] = (
    AdaptorHooks,
    StrategyHooks,
    DatasetHooks,
    TransformHooks,
    MetricHooks,
    ObjectiveHooks,
    RangeRuleHooks,
    PrunerHooks,
    EventHooks,
)


def plural(kind: str) -> str:
    """Return the word for several components of a kind, such as ``"strategies"``."""
    return KINDS[kind].removeprefix("inc_")
