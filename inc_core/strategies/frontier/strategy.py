"""``FrontierStrategy``: the steps of the search, from the first trial to the last."""

from __future__ import annotations

from typing import Literal

from inc_core.errors import StrategyError
from inc_core.hookspecs.strategy import Proposals, StrategyContext
from inc_core.quant.space import TuningSpace
from inc_core.strategies.frontier.search import Effort, Search

__all__ = ["FrontierStrategy"]

EFFORTS = {
    "first": Effort(scale=1.0, worth=0.01, patience=4, at_first=True),
    "balanced": Effort(scale=1.0, worth=0.003, patience=8, left=0.02),
    "max": Effort(scale=3.0, worth=0.0003, patience=40, left=0.001),
}


class FrontierStrategy:
    """Searches for the fastest model within the accuracy goal. See ``docs/frontier.md``.

    It has a stop rule of its own: with ``timeout: 0`` it still goes on after the first accepted
    trial, as long as more is worth a trial, except with ``effort: first``.

    Args:
        effort: ``"first"`` stops at the first accepted trial, ``"balanced"`` when a trial is not
            worth its cost, ``"max"`` later.
        budget: Trials after which the search for better ones ends. If 0, evaluations by the number of
            groups, of which a trial that ends early takes its share.

    Raises:
        StrategyError: If the effort is unknown or the budget negative.
    """

    own_stop_rule = True

    def __init__(
        self, effort: Literal["first", "balanced", "max"] = "balanced", budget: int = 0
    ) -> None:
        if effort not in EFFORTS:
            raise StrategyError(
                f"effort: {effort!r} is unknown; choose one of {', '.join(EFFORTS)}"
            )
        if budget < 0:
            raise StrategyError(
                f"budget: {budget!r} is negative; give trials, or 0 for the default"
            )
        self.effort = effort
        self.budget = budget

    def propose(self, space: TuningSpace, context: StrategyContext) -> Proposals:
        """Yield recipes, lists of them if ``context.width`` is above 1; receive trials."""
        search = Search(space, context, EFFORTS[self.effort], self.budget)
        yield from search.run()
        context.foresee(None, search.last_word())
