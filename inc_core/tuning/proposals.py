"""What a strategy yields and tells: taken with its errors, checked against the space."""

from __future__ import annotations

from collections.abc import Sequence

from inc_core.errors import StrategyError
from inc_core.hookspecs.strategy import Forecast, Proposals
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.tuning.membership import outside_of
from inc_core.tuning.trial import Trial
from inc_core.tuning.trial_run import describe_error

__all__ = ["Forecasts", "check_in_space", "check_recipes", "next_proposal"]


class Forecasts:
    """Keeps what the strategy expects of its proposal, until the trials can be held against it.

    Attributes:
        bound: The largest speed-up that it last thought possible; ``None`` before it said any.
    """

    def __init__(self) -> None:
        self.bound: float | None = None
        self._heard: list[tuple[Recipe, Forecast]] = []

    def foresee(self, recipe: Recipe | None, forecast: Forecast) -> None:
        """Hear a forecast: ``StrategyContext.foresee``."""
        self.bound = self.bound if forecast.bound is None else forecast.bound
        if recipe is not None:
            self._heard.append((recipe, forecast))

    def of(self, recipe: Recipe) -> Forecast | None:
        """Return the forecast of this very object: comparing 10,000 ops takes too long."""
        return next((forecast for one, forecast in self._heard if one is recipe), None)

    def clear(self) -> None:
        """Forget what was said of single recipes: their trials have ended."""
        self._heard.clear()


def next_proposal(
    proposals: Proposals, answer: Trial | list[Trial] | None
) -> Recipe | list[Recipe] | None:
    """Return the next proposal, or ``None`` at the end; an empty list counts as none.

    Raises:
        StrategyError: If the strategy raises.
    """
    try:
        proposal = next(proposals) if answer is None else proposals.send(answer)
        while isinstance(proposal, list) and not proposal:
            proposal = proposals.send([])
    except StopIteration:
        return None
    except Exception as error:  # third-party code, wrapped with its cause
        raise StrategyError(f"the strategy failed: {describe_error(error)}") from error
    return proposal


def check_recipes(batch: Sequence[Recipe]) -> None:
    """Raise ``StrategyError`` if something else than a recipe was yielded."""
    for recipe in batch:
        if not isinstance(recipe, Recipe):
            raise StrategyError(
                f"the strategy yielded {recipe!r}; a Recipe or a list of them is needed"
            )


def check_in_space(space: TuningSpace, recipe: Recipe) -> None:
    """Raise ``StrategyError`` if a recipe is not in the space."""
    problem = outside_of(space, recipe)
    if problem:
        raise StrategyError(f"the strategy proposed a recipe outside of the space: {problem}")
