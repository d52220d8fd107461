"""Conversion costs: the best selection for a price of loss, exact along a chain of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from inc_core.strategies.frontier.gains import Gains

__all__ = ["chain_selections"]

Array: TypeAlias = "np.ndarray[Any, Any]"


def chain_selections(losses: Array, gains: Gains, prices: Array) -> Array:
    """Return for each price the selection of largest ``saving - price * loss``.

    Costs between groups that follow each other are exact (Viterbi, all prices at once); others,
    such as those of skip connections, are left to who compares the results.

    Args:
        losses: Of each column, shape ``(M,)``.
        gains: Savings and conversion costs.
        prices: Saving per loss, shape ``(K,)``.

    Returns:
        Boolean, shape ``(K, M)``.
    """
    values: Array = gains.alone - prices[:, None] * losses
    groups = int(gains.owner.max()) + 1
    best, column = _best_by_side(values, gains, groups)
    side = _viterbi(best, _chain_costs(gains, groups))
    chosen = np.take_along_axis(column, side[None], axis=0)[0]
    selections = np.zeros(values.shape, dtype=bool)
    rows, at = np.nonzero(chosen >= 0)
    selections[rows, chosen[rows, at]] = True
    return selections


def _best_by_side(values: Array, gains: Gains, groups: int) -> tuple[Array, Array]:
    """Return value and column of each group's best other (0) and static (1) choice."""
    best = np.full((2, len(values), groups), -np.inf)
    best[0] = 0.0  # full precision costs and saves nothing
    column = np.full((2, len(values), groups), -1)
    for index, (group, static) in enumerate(zip(gains.owner, gains.is_static, strict=True)):
        side = int(static)
        better = values[:, index] > best[side, :, group]
        best[side, better, group] = values[better, index]
        column[side, better, group] = index
    return best, column


def _chain_costs(gains: Gains, groups: int) -> Array:
    costs = np.zeros(groups)
    for (one, other), cost in zip(gains.edges, gains.costs, strict=True):
        if other == one + 1:
            costs[other] += cost
    return costs


def _viterbi(best: Array, costs: Array) -> Array:
    """Return the side of each group, shape ``(K, groups)``."""
    _, rows, groups = best.shape
    value = best[:, :, 0]
    came = np.zeros((2, rows, groups), dtype=np.int8)
    for group in range(1, groups):
        moved = value[::-1] - costs[group]
        changes = moved > value
        came[:, :, group] = np.where(changes, [[1], [0]], [[0], [1]])
        value = np.where(changes, moved, value) + best[:, :, group]
    side = np.empty((rows, groups), dtype=np.intp)
    side[:, -1] = np.argmax(value, axis=0)
    for group in range(groups - 1, 0, -1):
        side[:, group - 1] = came[side[:, group], np.arange(rows), group]
    return side
