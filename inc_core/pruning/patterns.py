"""Patterns: which weights may only become zero together, and how many of a group must stay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from inc_core.errors import ConfigError

__all__ = [
    "BlockPattern",
    "GroupPattern",
    "Pattern",
    "Units",
    "as_matrix",
    "from_matrix",
    "parse_pattern",
]

Array = np.ndarray[Any, Any]

_BLOCK = re.compile(r"(?:tile_pattern_)?(\d+|channel)x(\d+|channel)")
_GROUP = re.compile(r"(\d+):(\d+)")


@dataclass(frozen=True)
class Units:
    """The parts of one weight that become zero as a whole.

    Attributes:
        index: Of the unit that each element belongs to, int64, shape of the matrix; -1 for an
            element that must stay.
        scores: Mean score of the elements of each unit, float64 ``(units,)``.
        sizes: Elements of each unit, int64 ``(units,)``.
    """

    index: Array
    scores: Array
    sizes: Array


@dataclass(frozen=True)
class BlockPattern:
    """Blocks of ``rows`` output channels by ``columns`` inputs become zero together.

    ``None`` stands for the whole extent. Blocks at the edge of a weight that they do not divide are
    smaller, and count by what they hold.
    """

    rows: int | None = 1
    columns: int | None = 1

    @property
    def most(self) -> float | None:
        """The only sparsity that fulfils the pattern; ``None`` if any does."""
        return None

    def units(self, scores: Array) -> Units:
        """Return the blocks of a matrix of scores."""
        height, width = scores.shape
        rows, columns = self.rows or height, self.columns or width
        across = -(-width // columns)
        index = (np.arange(height) // rows)[:, None] * across + np.arange(width) // columns
        sizes = np.bincount(index.ravel())
        sums = np.bincount(index.ravel(), weights=scores.ravel())
        return Units(index, sums / sizes, sizes)


@dataclass(frozen=True)
class GroupPattern:
    """At most ``kept`` of each ``size`` weights in a row along the input are not zero (N:M).

    A shorter group at the end keeps as many. Source: Zhou et al. 2021 (arXiv:2102.04010).
    """

    kept: int
    size: int

    @property
    def most(self) -> float | None:
        """The only sparsity that fulfils the pattern."""
        return 1 - self.kept / self.size

    def units(self, scores: Array) -> Units:
        """Return one unit for each element that is not among the best of its group."""
        height, width = scores.shape
        groups = -(-width // self.size)
        padded = np.full((height, groups * self.size), -np.inf)
        padded[:, :width] = scores
        order = np.argsort(-padded.reshape(height, groups, self.size), axis=2, kind="stable")
        rank = np.argsort(order, axis=2).reshape(height, -1)[:, :width]
        loses = rank >= self.kept
        index = np.full(scores.shape, -1)
        index[loses] = np.arange(loses.sum())
        return Units(index, scores[loses].astype(np.float64), np.ones(loses.sum(), np.int64))


Pattern = BlockPattern | GroupPattern


def parse_pattern(text: str) -> Pattern:
    """Return the pattern of a name: ``"4x1"``, ``"tile_pattern_2x2"``, ``"channelx1"``, ``"2:4"``.

    Raises:
        ConfigError: If it is none.
    """
    if match := _BLOCK.fullmatch(text):
        rows, columns = (None if part == "channel" else int(part) for part in match.groups())
        if rows != 0 and columns != 0:
            return BlockPattern(rows, columns)
    if match := _GROUP.fullmatch(text):
        kept, size = map(int, match.groups())
        if 0 < kept < size:
            return GroupPattern(kept, size)
    raise ConfigError(
        f"pattern {text!r} is unknown; allowed: rows x columns of a block such as '1x1', '4x1', "
        "'tile_pattern_2x2' or 'channelx1' (a whole column), or N:M such as '2:4' (at most 2 of 4 in a "
        "row are kept)"
    )


def as_matrix(weight: Array) -> Array:
    """Return a weight ``(out, in, ...)`` as the matrix ``(out, ... * in)`` that patterns are about.

    Input channels come last, so that blocks and groups run along them as in kernels for such weights.
    """
    if weight.ndim < 2:
        return weight.reshape(1, -1)
    return np.moveaxis(weight, 1, -1).reshape(weight.shape[0], -1)


def from_matrix(matrix: Array, shape: tuple[int, ...]) -> Array:
    """Inverse of ``as_matrix``: the weight of a shape."""
    if len(shape) < 2:
        return matrix.reshape(shape)
    return np.moveaxis(matrix.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
