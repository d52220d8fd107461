"""What might be tried next, and how much is expected of it."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from inc_core.strategies.frontier.beliefs import Beliefs
from inc_core.strategies.frontier.gains import Gains
from inc_core.strategies.frontier.knapsack import front
from inc_core.strategies.frontier.neighbours import neighbours

__all__ = ["expected_improvement", "pool"]

Array: TypeAlias = "np.ndarray[Any, Any]"

POINTS = 40
SMALL = 40  # groups: up to here swaps are looked at one by one


def pool(
    beliefs: Beliefs,
    gains: Gains,
    target: float,
    best: Array | None,
) -> Array:
    """Return selections worth a thought, boolean, shape ``(K, M)``, without duplicates.

    Args:
        beliefs: What each column is expected to lose.
        gains: What it saves.
        target: The allowed linked loss.
        best: The best selection that passed.
    """
    groups = int(gains.owner.max(initial=-1)) + 1
    believed = [
        member.model.means
        for weight, member in zip(beliefs.weights(), beliefs.members, strict=True)
        if weight > 0
    ]
    parts = [front(means, gains, POINTS, 2.0 * target) for means in believed]
    if groups > SMALL:
        return np.concatenate(parts)
    seeds = [_middle(parts[0], believed[0], target)] if len(parts[0]) else []
    seeds += [best] if best is not None else []
    parts += [neighbours(seed, gains.owner) for seed in seeds]
    return np.unique(np.concatenate(parts), axis=0)


def _middle(selections: Array, losses: Array, target: float) -> Array:
    expected = selections @ losses
    return np.asarray(selections[int(np.argmin(np.abs(expected - target)))])


def expected_improvement(
    selections: Array, gains: Gains, probability: Array, best_gain: float
) -> Array:
    """Return what each selection is expected to save beyond the best so far."""
    return np.maximum(gains.of(selections) - best_gain, 0.0) * probability
