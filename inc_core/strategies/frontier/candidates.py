"""What might be tried next, and how much is expected of it."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from inc_core.strategies.frontier.gains import Gains
from inc_core.strategies.frontier.knapsack import front
from inc_core.strategies.frontier.loss import LossModel
from inc_core.strategies.frontier.neighbours import neighbours

__all__ = ["expected_improvement", "pass_probability", "pool"]

Array: TypeAlias = "np.ndarray[Any, Any]"

POINTS = 40
SMALL = 40  # groups: up to here swaps are looked at one by one

_erf = np.vectorize(math.erf, otypes=[float])


def pool(
    model: LossModel,
    gains: Gains,
    target: float,
    best: Array | None,
) -> Array:
    """Return selections worth a thought, boolean, shape ``(K, M)``, without duplicates.

    Args:
        model: What each column is expected to lose.
        gains: What it saves.
        target: The allowed linked loss.
        best: The best selection that passed.
    """
    groups = int(gains.owner.max(initial=-1)) + 1
    parts = [front(model.means, gains, POINTS, 2.0 * target)]
    if groups <= SMALL:
        seeds = [_middle(parts[0], model.means, target)] if len(parts[0]) else []
        seeds += [best] if best is not None else []
        parts += [neighbours(seed, gains.owner) for seed in seeds]
    return np.unique(np.concatenate(parts), axis=0) if groups <= SMALL else parts[0]


def _middle(selections: Array, losses: Array, target: float) -> Array:
    expected = selections @ losses
    return np.asarray(selections[int(np.argmin(np.abs(expected - target)))])


def pass_probability(model: LossModel, selections: Array, target: float, doubt: float) -> Array:
    """Return the probability that each selection's loss is within the target.

    Args:
        model: What is expected.
        selections: Boolean, shape ``(K, M)``.
        target: The allowed linked loss.
        doubt: Factor on the standard deviation; above 1 after surprises.
    """
    means, variances = model.predict(selections)
    deviations = doubt * np.sqrt(variances + model.own_variance(target))
    return np.asarray(0.5 * (1.0 + _erf((target - means) / deviations / math.sqrt(2.0))))


def expected_improvement(
    selections: Array, gains: Gains, probability: Array, best_gain: float
) -> Array:
    """Return what each selection is expected to save beyond the best so far."""
    return np.maximum(gains.of(selections) - best_gain, 0.0) * probability
