"""Masks from scores: the lowest units of each weight, or of all weights together, become zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inc_core.pruning.patterns import Pattern, Units, as_matrix, from_matrix

__all__ = ["choose_masks"]

Array = np.ndarray[Any, Any]


def choose_masks(
    scores: Mapping[str, Array],
    pattern: Pattern,
    sparsity: float,
    domain: str = "local",
    most: float = 1.0,
) -> dict[str, Array]:
    """Return what to keep of each weight.

    Args:
        scores: Importance of each element by weight, any shape, finite.
        pattern: What becomes zero together.
        sparsity: Share of zeros, 0 to 1. Single elements reach it to the nearest element, blocks to
            the nearest block. A pattern that has a sparsity of its own is reached by it in full.
        domain: ``"local"``: each weight has this share; ``"channel"``: each output channel of each
            weight; ``"global"``: all weights together, whose scores are compared.
        most: The largest share of one weight under ``"global"``.

    Returns:
        Bool masks of the shapes of ``scores``, true where a weight stays. Of equal scores the first
        elements become zero first, so that the result depends on nothing else.
    """
    matrices = {name: as_matrix(np.asarray(array, np.float64)) for name, array in scores.items()}
    if domain == "channel":
        kept = {
            name: np.concatenate([_one(row[None], pattern, sparsity) for row in matrix])
            for name, matrix in matrices.items()
        }
    elif domain == "global":
        kept = _together(matrices, pattern, sparsity, most)
    else:
        kept = {name: _one(matrix, pattern, sparsity) for name, matrix in matrices.items()}
    return {name: from_matrix(mask, np.shape(scores[name])) for name, mask in kept.items()}


def _one(matrix: Array, pattern: Pattern, sparsity: float) -> Array:
    units = pattern.units(matrix)
    order = np.argsort(units.scores, kind="stable")
    wanted = _wanted(matrix.size, int(units.sizes.sum()), pattern, sparsity)
    return _mask(units, order[: _prefix(units.sizes[order], wanted)])


def _together(
    matrices: Mapping[str, Array], pattern: Pattern, sparsity: float, most: float
) -> dict[str, Array]:
    """Choose among the units of all weights; those beyond a weight's own limit are left out first."""
    units = {name: pattern.units(matrix) for name, matrix in matrices.items()}
    allowed = {
        name: _allowed(found, most * matrices[name].size, pattern) for name, found in units.items()
    }
    owner = np.repeat(np.arange(len(units)), [len(ids) for ids in allowed.values()])
    ids = np.concatenate([*allowed.values(), np.zeros(0, np.int64)])
    scores = np.concatenate([units[name].scores[allowed[name]] for name in units] or [ids])
    sizes = np.concatenate([units[name].sizes[allowed[name]] for name in units] or [ids])
    order = np.argsort(scores, kind="stable")
    total = sum(matrix.size for matrix in matrices.values())
    candidates = sum(int(found.sizes.sum()) for found in units.values())
    wanted = _wanted(total, candidates, pattern, sparsity)
    chosen = order[: _prefix(sizes[order], wanted)]
    return {
        name: _mask(found, ids[chosen[owner[chosen] == position]])
        for position, (name, found) in enumerate(units.items())
    }


def _allowed(units: Units, limit: float, pattern: Pattern) -> Array:
    """Return the ids of the lowest units of a weight that fit into its limit."""
    order = np.argsort(units.scores, kind="stable")
    if pattern.most is not None:
        return order  # the pattern itself is the limit
    # a tolerance, as 0.9 * 10 elements are 9 in any arithmetic of users
    return order[np.cumsum(units.sizes[order]) <= limit + 1e-6]


def _wanted(total: int, candidates: int, pattern: Pattern, sparsity: float) -> int:
    if pattern.most is None:
        return round(total * sparsity)
    return round(candidates * min(1.0, sparsity / pattern.most))


def _prefix(sizes: Array, wanted: int) -> int:
    """Return how many of the first units together come nearest to ``wanted`` elements."""
    sums = np.concatenate([[0], np.cumsum(sizes)])
    return int(np.abs(sums - wanted).argmin())


def _mask(units: Units, chosen: Array) -> Array:
    pruned = np.zeros(len(units.sizes) + 1, bool)  # the last one for -1: what must stay
    pruned[chosen] = True
    return ~pruned[units.index]
