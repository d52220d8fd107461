"""Strategies: generators that propose recipes and are told what came of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from inc_core.hookspecs._markers import hookspec
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace

if TYPE_CHECKING:
    from inc_core.tuning.criterion import Criterion
    from inc_core.tuning.trial import Trial

__all__ = ["Proposals", "Strategy", "StrategyContext", "StrategyHooks"]

Proposals = Generator["Recipe | list[Recipe]", "Trial | list[Trial]", None]


@dataclass(frozen=True)
class StrategyContext:
    """What a strategy may know besides the space.

    Attributes:
        rng: The only source of randomness; seeded by ``tuning.random_seed``.
        baseline: Accuracy of the float model.
        criterion: Which accuracies are accepted, and which of two is better.
        width: How many recipes run side by side.
        stop_at_first: Whether the user wants the first accepted recipe (``timeout: 0``).
    """

    rng: np.random.Generator
    baseline: float
    criterion: Criterion
    width: int = 1
    stop_at_first: bool = True


class Strategy(Protocol):
    """Proposes recipes; the runner does caching, retries, acceptance and the exit policy.

    The proposals are a pure function of (space, seed, width, outcomes told): no clock, no
    global random state, so that a resumed run replays them. A failed trial has
    ``trial.accuracy is None``. Example::

        class OneByOne:
            def propose(self, space, context):
                yield space.default()
                for op in space.ops:
                    trial = yield space.default().with_op(op, space.fallback(op))
                    if trial.accepted:
                        return
                yield space.all_float()
    """

    def propose(self, space: TuningSpace, context: StrategyContext) -> Proposals:
        """Yield a recipe, or a list of them; receive the trial, or the list of trials."""


class StrategyHooks:
    """Hooks of a plugin that brings tuning strategies."""

    @hookspec
    def inc_strategies(self) -> Mapping[str, type[Strategy] | str]:
        """Offer strategies by the name that ``tuning.strategy.name`` uses.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_strategies():
                return {"one_by_one": "inc_one_by_one:OneByOne"}
        """
        raise AssertionError("a specification is never called")
