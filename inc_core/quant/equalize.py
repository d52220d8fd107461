"""Cross-layer equalization: factors that give two neighbouring layers similar channel ranges.

Source: Nagel et al. 2019, "Data-free quantization through weight equalization and bias
correction" (arXiv:1906.04721), section 4.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["equalize_pair"]

Array = np.ndarray[Any, Any]

# A channel scaled further than this is nearly dead; scaling it would only amplify rounding.
MAX_FACTOR = 1e4


def equalize_pair(first: Array, second: Array, groups: int = 1) -> Array:
    """Return one factor per channel between two layers.

    Dividing the outputs of the first layer (weight and bias) and multiplying the inputs of the
    second by the factors keeps the function, if what lies between is positively homogeneous (ReLU,
    identity, mean pooling), and makes the ranges of both weights equal channel by channel.

    Args:
        first: Weight of the first layer, output channels in dimension 0, shape ``(C, ...)``.
        second: Weight of the second layer, shape ``(out, C / groups, ...)``.
        groups: Groups of the second layer; ``C`` for a depthwise convolution.

    Returns:
        float32, shape ``(C,)``; 1 for channels that are zero on either side.
    """
    channels = first.shape[0]
    first_range = np.abs(first.reshape(channels, -1)).max(axis=1)
    out, inside = second.shape[:2]
    grouped = np.abs(second).reshape(groups, out // groups, inside, -1)
    second_range = grouped.max(axis=(1, 3)).reshape(channels)
    alive = (first_range > 0) & (second_range > 0)
    ratio = np.where(alive, first_range, 1.0) / np.where(alive, second_range, 1.0)
    factors = np.clip(np.sqrt(ratio), 1 / MAX_FACTOR, MAX_FACTOR)
    return np.asarray(factors, np.float32)
