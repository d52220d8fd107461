"""Local search for the selection that is worth most: single moves and swaps near the edge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

__all__ = ["climb"]

Array: TypeAlias = "np.ndarray[Any, Any]"

STEPS = 12
SIDE = 10  # columns to take, and as many to leave, of which all pairs are looked at
LEAST = 1.002  # relative gain of a step that is worth another


def climb(start: Array, owner: Array, columns: Array, value: Callable[[Array], Array]) -> Array:
    """Move uphill from a selection until no single move or swap is worth more.

    Args:
        start: Boolean, shape ``(M,)``.
        owner: Group of each column, shape ``(M,)``.
        columns: Those that may change, the most important first.
        value: Of selections, shape ``(K, M)`` to ``(K,)``.
    """
    current, worth = start, float(value(start[None])[0])
    for _ in range(STEPS if len(columns) else 0):
        moves = _moves(current, owner, columns)
        values = value(moves)
        top = int(np.argmax(values))
        if values[top] <= worth * LEAST:
            break
        current, worth = moves[top], float(values[top])
    return current


def _moves(selection: Array, owner: Array, columns: Array) -> Array:
    """Return what moves of single columns and swaps of two lead to, shape ``(K, M)``."""
    taken, free = columns[selection[columns]], columns[~selection[columns]]
    downs, ups = taken[:SIDE], free[:SIDE]
    leave = np.concatenate([taken, np.repeat(downs, len(ups))])
    take = np.concatenate([free, np.tile(ups, len(downs))])
    rows = np.repeat(selection[None], len(columns) + len(downs) * len(ups), axis=0)
    swaps = np.arange(len(columns), len(rows))
    rows[np.concatenate([np.arange(len(taken)), swaps]), leave] = False
    on = np.concatenate([np.arange(len(taken), len(columns)), swaps])
    # a group has one choice: what is taken replaces what was
    rows[on] &= owner[take][:, None] != owner[None, :]
    rows[on, take] = True
    return rows
