"""Group testing: where does the damage sit that the model did not expect?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from inc_core.strategies.frontier.beliefs import Beliefs

__all__ = ["hunt"]

Array: TypeAlias = "np.ndarray[Any, Any]"

SUSPECT = 0.4  # of the target: parts that lose less are not looked into
PROBE_ERROR = 0.3  # relative, of a loss that a divergence stands for
PROBES_PER_HALVING = 8


class _Part(NamedTuple):
    columns: Array
    value: float


def hunt(
    selection: Array,
    value: float,
    beliefs: Beliefs,
    divergence: Callable[[Array], float | None],
    target: float,
) -> None:
    """Halve the suspects in graph order, measure how far each half moves the outputs, learn.

    Finds k culprits among N groups with about ``2 k log2 N`` probes, each on a few samples.

    Args:
        selection: What lost more than expected.
        value: Its linked loss.
        beliefs: Are told what is found.
        divergence: Measures a selection; ``None`` or not finite if it cannot be.
        target: The allowed linked loss.
    """
    whole = divergence(selection)
    if whole is None or not math.isfinite(whole) or whole <= 0:
        return
    scale = value / whole
    open_parts = [_Part(np.flatnonzero(selection), value)]
    leaves: list[_Part] = []
    left = int(PROBES_PER_HALVING * math.log2(max(2, int(selection.sum()))))
    while open_parts:
        part = open_parts.pop(_most_surprising(open_parts, beliefs))
        if len(part.columns) == 1 or part.value < SUSPECT * target or left < 2:
            leaves.append(part)
            continue
        middle = len(part.columns) // 2
        for columns in (part.columns[:middle], part.columns[middle:]):
            half = np.zeros(len(selection), dtype=bool)
            half[columns] = True
            moved = divergence(half)
            left -= 1
            if moved is None or not math.isfinite(moved):
                continue
            found = min(scale * moved, value)
            beliefs.observe(half, found, PROBE_ERROR * found)
            open_parts.append(_Part(columns, found))
    for part in leaves:
        if len(part.columns) > 1:
            beliefs.rescale(part.columns, part.value)


def _most_surprising(parts: list[_Part], beliefs: Beliefs) -> int:
    curve, means = beliefs.leader.curve, beliefs.means
    excess = [part.value - float(curve.down(means[part.columns].sum())) for part in parts]
    return int(np.argmax(excess))
