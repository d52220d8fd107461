"""``random``: recipes drawn without repetition."""

from __future__ import annotations

from inc_core.errors import ConfigError
from inc_core.hookspecs.strategy import Proposals, StrategyContext
from inc_core.quant.space import TuningSpace
from inc_core.strategies.enumeration import RecipeNumbers, propose_each, shuffled

__all__ = ["RandomStrategy"]


class RandomStrategy:
    """The default recipe, then recipes drawn uniformly; none comes twice.

    Args:
        trials: How many recipes are tried at most; the exit policy may end it before.

    Raises:
        ConfigError: If ``trials`` is not a whole number above 0.
    """

    def __init__(self, trials: int = 100) -> None:
        self.trials = checked_trials("random", trials)

    def propose(self, space: TuningSpace, context: StrategyContext) -> Proposals:
        """Yield recipes (lists of ``context.width``); what is told changes nothing."""
        recipes = RecipeNumbers(space)
        numbers = shuffled(recipes.size, context.rng.bytes(16))
        return propose_each(space, numbers, recipes, self.trials, context.width)


def checked_trials(strategy: str, trials: int) -> int:
    """Return ``trials`` if it is a whole number above 0; else raise ``ConfigError``."""
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ConfigError(
            f"tuning.strategy: trials of {strategy!r} must be a whole number > 0; received {trials!r}"
        )
    return trials
