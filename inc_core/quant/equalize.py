"""Cross-layer equalization: factors that give two neighbouring layers similar channel ranges.

Source: Nagel et al. 2019, "Data-free quantization through weight equalization and bias
correction" (arXiv:1906.04721), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Equalized", "EqualizedPair", "equalize_layers", "equalize_pair", "equalizing_factors"]

Array = np.ndarray[Any, Any]

# A channel scaled further than this is nearly dead; scaling it would only amplify rounding.
MAX_FACTOR = 1e4

# The pairs of a chain pull at each other; depthwise nets settle well within this many sweeps.
SWEEPS = 20
SETTLED = 1e-3


class EqualizedPair(NamedTuple):
    """Two layers with nothing but a positively homogeneous op between them, by names of arrays.

    Attributes:
        weight: Of the first layer, output channels in dimension 0.
        bias: Of the first layer; ``None`` if it has none.
        next_weight: Of the second layer, shape ``(out, in / groups, ...)``.
        groups: Groups of the second layer.
    """

    weight: str
    bias: str | None
    next_weight: str
    groups: int = 1


class Equalized(NamedTuple):
    """What ``equalize_layers`` gives.

    Attributes:
        arrays: Every array of the pairs by name, new.
        factors: For each pair, by what the channels between its layers are divided, shape ``(C,)``.
    """

    arrays: dict[str, Array]
    factors: tuple[Array, ...]


def equalize_layers(arrays: Mapping[str, Array], pairs: Sequence[EqualizedPair]) -> Equalized:
    """Equalize pairs again and again until they settle: the pairs of a chain share layers.

    Args:
        arrays: Weights and biases by name, float32.
        pairs: In execution order. What lies between two layers of a pair must be positively
            homogeneous (ReLU, identity, mean or max pooling), and nothing else may read it.

    Returns:
        The new arrays, which together compute the same function, and the factors.
    """
    names = {name for pair in pairs for name in pair[:3] if name is not None}
    values = {name: np.asarray(arrays[name], np.float32) for name in names}
    total = [np.ones(values[pair.weight].shape[0], np.float32) for pair in pairs]
    for _ in range(SWEEPS):
        latest = [_equalize(values, pair) for pair in pairs]
        total = [known * factors for known, factors in zip(total, latest, strict=True)]
        if max((float(np.abs(np.log(f)).max(initial=0.0)) for f in latest), default=0.0) < SETTLED:
            break
    return Equalized(values, tuple(total))


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
    first_range = np.abs(first).reshape(first.shape[0], -1).max(axis=1)
    second_range = np.abs(_by_group(second, groups)).max(axis=(1, 3)).reshape(-1)
    return equalizing_factors(first_range, second_range)


def equalizing_factors(first_range: Array, second_range: Array) -> Array:
    """Return ``sqrt(r1 / r2)`` per channel, within ``1 / MAX_FACTOR`` and ``MAX_FACTOR``.

    Args:
        first_range: Largest magnitude per output channel of the first layer, shape ``(C,)``.
        second_range: Largest magnitude per input channel of the second layer, same shape.

    Returns:
        float32, shape ``(C,)``; 1 for channels that are zero on either side.

    Source: Nagel et al. 2019 (arXiv:1906.04721), equation 11.
    """
    alive = (first_range > 0) & (second_range > 0)
    first = np.where(alive, first_range, 1.0).astype(np.float64)
    ratio = first / np.where(alive, second_range, 1.0)
    return np.asarray(np.clip(np.sqrt(ratio), 1 / MAX_FACTOR, MAX_FACTOR), np.float32)


def _equalize(values: dict[str, Array], pair: EqualizedPair) -> Array:
    """Scale one pair in ``values``; return the factors."""
    first, second = values[pair.weight], values[pair.next_weight]
    factors = equalize_pair(first, second, pair.groups)
    values[pair.weight] = first / factors.reshape(-1, *[1] * (first.ndim - 1))
    if pair.bias is not None:
        values[pair.bias] = values[pair.bias] / factors
    grouped = _by_group(second, pair.groups)
    scaled = grouped * factors.reshape(pair.groups, 1, -1, 1)
    values[pair.next_weight] = scaled.reshape(second.shape)
    return factors


def _by_group(weight: Array, groups: int) -> Array:
    """Return ``(out, in / groups, ...)`` as ``(groups, out / groups, in / groups, kernel)``."""
    out, inside = weight.shape[:2]
    return weight.reshape(groups, out // groups, inside, -1)
