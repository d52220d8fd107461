"""Small problems: every selection, or all single moves and swaps around one."""

from __future__ import annotations

import itertools
from typing import Any, TypeAlias

import numpy as np

__all__ = ["all_selections", "neighbours"]

Array: TypeAlias = "np.ndarray[Any, Any]"

MOST = 5_000  # selections that are enumerated


def all_selections(owner: Array, groups: int) -> Array | None:
    """Return every selection, shape ``(K, M)``; ``None`` if there are too many.

    Args:
        owner: Group of each column.
        groups: Their number.
    """
    counts = np.bincount(owner, minlength=groups) + 1
    if not groups or np.log(counts).sum() > np.log(MOST):
        return None
    starts = np.cumsum(counts - 1) - (counts - 1)
    total = int(np.prod(counts))
    selections = np.zeros((total, len(owner)), dtype=bool)
    rows = rest = np.arange(total)
    for start, count in zip(starts, counts, strict=True):
        rest, digit = np.divmod(rest, count)
        chosen = digit > 0  # digit 0: the group stays float
        selections[rows[chosen], start + digit[chosen] - 1] = True
    return selections


def neighbours(selection: Array, owner: Array) -> Array:
    """Return selections that differ in the choice of one group, or of two, shape ``(K, M)``."""
    moves = _moves(selection, owner)
    singles = [_moved(selection, [move]) for move in moves]
    doubles = [
        _moved(selection, [one, other])
        for one, other in itertools.combinations(moves, 2)
        if one[0] != other[0] and (one[2] < 0) != (other[2] < 0)
    ]
    return np.array([selection, *singles, *doubles][: MOST + 1], dtype=bool)


def _moves(selection: Array, owner: Array) -> list[tuple[int, int, int]]:
    """Return ``(group, column to leave or -1, column to take or -1)``."""
    current = {int(owner[column]): int(column) for column in np.flatnonzero(selection)}
    away = [(group, column, -1) for group, column in current.items()]
    to = [
        (int(group), current.get(int(group), -1), column)
        for column, group in enumerate(owner)
        if not selection[column]
    ]
    return away + to


def _moved(selection: Array, moves: list[tuple[int, int, int]]) -> Array:
    moved = selection.copy()
    for _, leave, take in moves:
        if leave >= 0:
            moved[leave] = False
        if take >= 0:
            moved[take] = True
    return moved
