"""``exhaustive``: every recipe once."""

from __future__ import annotations

import logging

from inc_core.hookspecs.strategy import Proposals, StrategyContext
from inc_core.quant.space import TuningSpace
from inc_core.strategies.enumeration import RecipeNumbers, propose_each, scattered
from inc_core.strategies.random_search import checked_trials

__all__ = ["ExhaustiveStrategy"]

logger = logging.getLogger("inc_core.strategies")


class ExhaustiveStrategy:
    """The default recipe, then every other; one after the other they are far apart in the space.

    A space has at least 2 to the number of ops recipes, so this ends by itself for few ops only.

    Args:
        trials: How many recipes are tried at most; where there are more, it says so.

    Raises:
        ConfigError: If ``trials`` is not a whole number above 0.
    """

    def __init__(self, trials: int = 10_000) -> None:
        self.trials = checked_trials("exhaustive", trials)

    def propose(self, space: TuningSpace, context: StrategyContext) -> Proposals:
        """Yield recipes (lists of ``context.width``); what is told changes nothing."""
        recipes = RecipeNumbers(space)
        if recipes.size > self.trials:
            logger.warning(
                "exhaustive tries %d of %.3g recipes: this space is too large for it. Set "
                "tuning.strategy.trials, or use another strategy",
                self.trials,
                float(recipes.size) if recipes.size < 10**300 else float("inf"),
            )
        numbers = scattered(recipes.size)
        return propose_each(space, numbers, recipes, self.trials, context.width)
