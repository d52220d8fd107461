"""Objectives: the contract and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from inc_core.hookspecs._markers import hookspec

__all__ = ["Objective", "ObjectiveHooks", "ObjectiveRun"]


class ObjectiveRun(Protocol):
    """One model of a trial, as objectives see it."""

    accuracy: float | None
    evaluated_seconds: float | None
    """Median time of such a batch while the model was evaluated; ``None`` if that is not known."""

    def predict(self) -> Any:
        """Run one batch and return its outputs."""

    def size_bytes(self) -> int:
        """Return the size of the saved model in bytes."""

    def latency_seconds(self) -> float:
        """Return the median time of one batch, measured now."""


class Objective(Protocol):
    """Measures one number of a trial's model beside its accuracy.

    Smaller is better unless ``higher_is_better`` says otherwise; ``None`` takes the metric's direction.
    ``run`` gives ``predict()`` (one batch), ``size_bytes()`` and ``latency_seconds()``. A class that says
    ``is_latency = True`` gives seconds of one batch: the best models are then timed once more at the
    end, interleaved, and its value is replaced by what that says.

    Example::

        class Parameters:
            higher_is_better = False

            def measure(self, run):
                return float(run.size_bytes())
    """

    higher_is_better: bool | None

    def measure(self, run: ObjectiveRun) -> float:
        """Return the value for one trial's model."""


class ObjectiveHooks:
    """Hooks of a plugin that brings objectives."""

    @hookspec
    def inc_objectives(self) -> Mapping[str, type[Objective] | str]:
        """Offer objectives by the name that ``tuning.objective`` uses.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_objectives():
                return {"parameters": "inc_parameters:Parameters"}
        """
        raise AssertionError("a specification is never called")
