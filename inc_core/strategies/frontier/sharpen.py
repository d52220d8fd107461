"""Sharper sensitivities where they decide: ops near the edge of the selection, probed end to end.

Sensitivities of single ops rank them; the order of those that just fit and just do not fit decides
how much is saved. A probe of one op on a few samples costs a hundredth of a trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from inc_core.strategies.frontier.beliefs import Beliefs

__all__ = ["priorities", "sharpen"]

Array: TypeAlias = "np.ndarray[Any, Any]"

# Of the logarithm of a divergence on 128 samples, as an estimate of what an op adds to a loss: half of
# it is noise, the rest that an op alone does not do what it does among others.
PROBE_ERROR = 0.7
ENOUGH = 12  # probes that show whether probing shows anything
AGREEMENT = 0.15  # of the logarithm: sensitivities that probes repeat need no more of them
EDGE = 1.3  # of the logarithm of saving by loss: what sensitivities may be off


def priorities(losses: Array, gains: Array, target: float) -> Array:
    """Return how much the loss of each column matters: much where it saves much near the edge.

    Args:
        losses: On a scale on which they add up, positive, shape ``(M,)``.
        gains: What each column saves, shape ``(M,)``.
        target: What all may lose together.
    """
    ratio = np.maximum(gains, 1e-12) / np.maximum(losses, 1e-12)
    order = np.argsort(-ratio, kind="stable")
    last = min(int(np.searchsorted(np.cumsum(losses[order]), target)), len(order) - 1)
    distance = np.log(ratio / ratio[order[last]]) / EDGE
    return np.where(gains > 0, gains * np.exp(-0.5 * distance**2), 0.0)


def sharpen(beliefs: Beliefs, columns: Array, divergence: Callable[[Array], float | None]) -> None:
    """Probe columns one by one and learn.

    The scale of divergences is not that of losses: what probes say on average is what is believed on
    average, and only where they differ something is learnt.

    Args:
        beliefs: Are told what is found.
        columns: Indices, the most important first.
        divergence: Measures a selection; ``None`` if it cannot be.
    """
    alone = np.zeros((len(columns), len(beliefs.means)), dtype=bool)
    alone[np.arange(len(columns)), columns] = True
    believed = beliefs.leader.curve.down(beliefs.means[columns])
    found: list[tuple[Array, float, float]] = []
    for selection, loss in zip(alone, believed, strict=True):
        moved = divergence(selection)
        if moved is None:
            break
        if math.isfinite(moved) and moved > 0:
            found.append((selection, moved, math.log(loss / moved)))
        if len(found) == ENOUGH and _spread([ratio for *_, ratio in found]) < AGREEMENT:
            break
    if len(found) < ENOUGH:
        return
    scale = math.exp(float(np.median([ratio for *_, ratio in found])))
    for selection, moved, ratio in found:
        value = scale * moved
        # relative to the middle of what is believed and what is found: no less of a surprise upwards
        middle = value * math.sqrt(math.exp(ratio) / scale)
        beliefs.observe(selection, value, PROBE_ERROR * middle, deviates=False)


def _spread(values: list[float]) -> float:
    """Return the standard deviation, by the median so that a few outliers do not move it."""
    return float(1.48 * np.median(np.abs(np.array(values) - np.median(values))))
