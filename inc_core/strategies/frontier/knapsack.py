"""Most saving for a loss: the front of good selections, greedy along the hulls of all groups."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from inc_core.strategies.frontier.chain import chain_selections
from inc_core.strategies.frontier.gains import Gains

__all__ = ["front"]

Array: TypeAlias = "np.ndarray[Any, Any]"

TINY = 1e-12


class _Steps(NamedTuple):
    """Steps along the hulls of all groups, best first: a group moves to a column."""

    column: Array
    cost: Array
    ratio: Array


def front(losses: Array, gains: Gains, points: int, upto: float) -> Array:
    """Return selections from careful to daring; each saves the most for about what it loses.

    Args:
        losses: Of each column, positive, shape ``(M,)``.
        gains: Savings and conversion costs.
        points: How many selections at most.
        upto: Largest loss of interest.

    Returns:
        Boolean, shape ``(K, M)``.
    """
    steps = _hull_steps(losses, gains)
    # one that alone loses more is in no selection of interest, and must not end those without it
    steps = _Steps(*(part[losses[steps.column] <= upto] for part in steps))
    if not len(steps.column):
        return np.zeros((0, len(losses)), dtype=bool)
    spent = np.cumsum(steps.cost)
    last = min(int(np.searchsorted(spent, upto, side="right")) + 1, len(spent))
    lowest = min(int(np.searchsorted(spent, 0.25 * upto)), last - 1)
    cuts = np.unique(np.linspace(max(lowest, 1), last, points).astype(int))
    if len(gains.edges):
        prices = steps.ratio[cuts - 1]
        # a conversion makes the first steps dear and the next ones cheap: look further around
        around = np.geomspace(0.25 * prices.min() + TINY, 4.0 * prices.max() + TINY, points)
        return chain_selections(losses, gains, around)
    return _cut(steps, cuts, gains.owner, len(losses))


def _hull_steps(losses: Array, gains: Gains) -> _Steps:
    owner = gains.owner
    if not len(owner):
        return _Steps(np.zeros(0, int), np.zeros(0), np.zeros(0))
    starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    at_loss = np.zeros(int(owner.max()) + 1)
    at_gain = np.zeros_like(at_loss)
    found: list[tuple[Array, Array, Array]] = []
    for _ in range(int(np.bincount(owner).max())):
        more_gain = gains.alone - at_gain[owner]
        more_loss = np.maximum(losses - at_loss[owner], TINY)
        ratio = np.where(more_gain > TINY, more_gain / more_loss, -1.0)
        best = np.maximum.reduceat(ratio, starts)
        is_best = (ratio == np.repeat(best, np.diff(np.append(starts, len(owner))))) & (ratio > 0)
        chosen = np.flatnonzero(is_best)
        # equal ratios in one group: the first of them
        chosen = chosen[np.unique(owner[chosen], return_index=True)[1]]
        if not len(chosen):
            break
        found.append((chosen, more_loss[chosen], ratio[chosen]))
        at_loss[owner[chosen]] = losses[chosen]
        at_gain[owner[chosen]] = gains.alone[chosen]
    if not found:
        return _Steps(np.zeros(0, int), np.zeros(0), np.zeros(0))
    column, cost, ratios = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(-ratios, kind="stable")
    return _Steps(column[order], cost[order], ratios[order])


def _cut(steps: _Steps, cuts: Array, owner: Array, size: int) -> Array:
    """Return the selection after each of some numbers of steps."""
    selections = np.zeros((len(cuts), size), dtype=bool)
    current = np.full(int(owner.max()) + 1, -1)
    done = 0
    for row, cut in enumerate(cuts):
        # within a group later steps overwrite earlier ones, as assignment by index does
        current[owner[steps.column[done:cut]]] = steps.column[done:cut]
        selections[row, current[current >= 0]] = True
        done = int(cut)
    return selections
