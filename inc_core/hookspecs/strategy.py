"""Strategies: generators that propose recipes and are told what came of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from inc_core.hookspecs._markers import hookspec
from inc_core.hookspecs.adaptor import LatencyTable
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpConfig, OpKey

if TYPE_CHECKING:
    from inc_core.tuning.criterion import Criterion
    from inc_core.tuning.trial import Trial

__all__ = [
    "Forecast",
    "Measurements",
    "NoMeasurements",
    "Proposals",
    "Strategy",
    "StrategyContext",
    "StrategyHooks",
]

Proposals = Generator["Recipe | list[Recipe]", "Trial | list[Trial]", None]


class Measurements(Protocol):
    """What a strategy may measure; the runner journals and caches every answer.

    Nothing is measured before it is asked for. A resumed search is given the same answers.
    """

    def sensitivity(self) -> Mapping[OpKey, Mapping[OpConfig, float]] | None:
        """Return how far the outputs move if only this op (with its group) runs this config.

        End to end, against the float outputs, at least 0; ``inf`` where the config cannot be built
        or gives no finite output. Of configs that differ only in range algorithm, scheme or
        granularity the best one alone is measured; float ones are left out. ``None`` if there are
        no inputs to measure on.
        """

    def latency(self) -> LatencyTable | None:
        """Return the measured seconds of single ops; ``None`` if the adaptor has no ``OpTimer``."""

    def divergence(self, recipe: Recipe, samples: int) -> float | None:
        """Return how far the outputs of a recipe are from the float outputs: 0 is equal.

        In the unit of ``sensitivity``, on the first ``samples`` samples, at most as many as the
        runner keeps (128); ``inf`` if the recipe cannot be built; ``None`` if there are no inputs
        to measure on.
        """

    def work(self) -> Mapping[OpKey, float]:
        """Return the relative cost of each op when its latency is unknown; 1.0 each if nothing is.

        An op that is not in it counts as 1.0.
        """


class NoMeasurements:
    """The ``Measurements`` of a search that can measure nothing."""

    def sensitivity(self) -> None:
        """Return ``None``."""

    def latency(self) -> None:
        """Return ``None``."""

    def divergence(self, recipe: Recipe, samples: int) -> None:
        """Return ``None``."""

    def work(self) -> Mapping[OpKey, float]:
        """Return nothing: every op counts as 1.0."""
        return {}


@dataclass(frozen=True)
class Forecast:
    """What a strategy expects of a recipe before it is tried; shown beside what is then measured.

    What it has no idea of is ``None``.

    Attributes:
        loss: Accuracy lost against the float model, in units of the metric; below 0 is a gain.
        speedup: The float model's time by the recipe's; above 1 is faster.
        bound: The largest speed-up that it still thinks possible within the goal, of any recipe.
        trials_left: How many trials it may still make, this one included.
    """

    loss: float | None = None
    speedup: float | None = None
    bound: float | None = None
    trials_left: int | None = None


def _unheard(recipe: Recipe | None, forecast: Forecast) -> None:
    """Stand in for ``StrategyContext.foresee`` where nobody listens."""


@dataclass(frozen=True)
class StrategyContext:
    """What a strategy may know besides the space.

    Attributes:
        rng: The only source of randomness; seeded by ``tuning.random_seed``.
        baseline: Accuracy of the float model.
        criterion: Which accuracies are accepted, and which of two is better.
        width: How many recipes run side by side.
        stop_at_first: Whether the user wants the first accepted recipe (``timeout: 0``).
        measure: What can be measured beside trials.
        foresee: Optional for a strategy: ``foresee(recipe, forecast)`` before a recipe is proposed
            says what is expected of that object; ``foresee(None, forecast)`` before the end, with
            ``bound`` alone, what was left. Never changes the search.
        evaluated_samples: Samples of one evaluation, against which probes are weighed; 0 if that
            is unknown.
    """

    rng: np.random.Generator
    baseline: float
    criterion: Criterion
    width: int = 1
    stop_at_first: bool = True
    measure: Measurements = field(default_factory=NoMeasurements)
    foresee: Callable[[Recipe | None, Forecast], None] = _unheard
    evaluated_samples: int = 0


class Strategy(Protocol):
    """Proposes recipes; the runner does caching, retries, acceptance and the exit policy.

    The proposals are a pure function of (space, seed, width, outcomes told): no clock, no
    global random state, so that a resumed run replays them. A failed trial has
    ``trial.accuracy is None``. With ``timeout: 0`` the first accepted trial ends the search, unless
    the class says ``own_stop_rule = True``. A trial that was rejected early (``trial.status``) has an
    estimate; a strategy that ranks rejected recipes by their accuracy says
    ``needs_exact_accuracy = True``, and every evaluation takes all samples. Example::

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
