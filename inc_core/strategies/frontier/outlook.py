"""What the search expects of a selection, in the words of the user: loss of the metric, speed-up."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from inc_core.hookspecs.strategy import Forecast
from inc_core.strategies.frontier.beliefs import Beliefs
from inc_core.strategies.frontier.gains import Gains
from inc_core.strategies.frontier.loss import Link

__all__ = ["Outlook"]

Array: TypeAlias = "np.ndarray[Any, Any]"

# A selection that passes with this probability is still thought possible: one in twenty.
PLAUSIBLE = 0.05


class Outlook:
    """Turns linked losses and savings into forecasts.

    Args:
        link: Of losses.
        gains: What each column saves; a speed-up is only told where it was measured.

    Attributes:
        bound: The largest saving that is still thought possible within the goal.
        trials_left: How many trials the search may still make; ``None`` before it knows.
        beliefs: Of losses; ``None`` before there is one.
    """

    def __init__(self, link: Link, gains: Gains) -> None:
        self._link = link
        self._gains = gains
        self.bound = gains.most
        self.trials_left: int | None = None
        self.beliefs: Beliefs | None = None

    def widen(self, selections: Array, probability: Array) -> None:
        """Raise the bound to the best of the selections that still may pass."""
        possible = self._gains.of(selections[probability >= PLAUSIBLE])
        self.bound = float(possible.max(initial=self.bound))

    def count_down(self) -> None:
        """Take one from the trials left."""
        if self.trials_left is not None:
            self.trials_left -= 1

    def of(self, selection: Array | None) -> Forecast:
        """Return what is expected of a selection; of none, what is left."""
        bound = self._speedup(self.bound)
        if selection is None:
            return Forecast(bound=bound)
        loss = None
        if self.beliefs is not None:
            loss = self._link.inverse(self.beliefs.expected(selection)[0])
        saving = float(self._gains.of(selection[None])[0])
        return Forecast(loss, self._speedup(saving), bound, self.trials_left)

    def _speedup(self, saving: float) -> float | None:
        share = saving * self._gains.share
        return 1.0 / (1.0 - share) if self._gains.measured and share < 1.0 else None
