"""How far the outputs of a model are from those of the float model: 0 is equal, no upper bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_outputs", "output_divergence"]

Array = npt.NDArray[Any]

# A probability that a model calls impossible costs this much (in nats), not infinitely much.
LEAST_LOG_PROBABILITY = -30.0


def as_outputs(predicted: Any) -> list[Array]:
    """Return what ``Adaptor.predict`` gave as a list of arrays."""
    outputs = predicted if isinstance(predicted, tuple | list) else (predicted,)
    return [np.asarray(output) for output in outputs]


def output_divergence(reference: Sequence[Array], outputs: Sequence[Array]) -> float:
    """Return the mean divergence over all outputs; ``inf`` where one is not finite.

    Args:
        reference: Outputs of the float model, batch first.
        outputs: Those of the other model, of the same shapes.

    Returns:
        For float outputs of shape ``(N, C)`` the mean Kullback-Leibler divergence of the softmax (of
        the rows themselves if they are probabilities), in nats; for other float outputs the mean
        square of the difference relative to the mean square of the reference; for integers the share
        that differs.
    """
    parts = [_one(a, b) for a, b in zip(reference, outputs, strict=True)]
    return float(np.mean(parts)) if parts else 0.0


def _one(reference: Array, output: Array) -> float:
    if reference.shape != output.shape:
        return math.inf  # a model that gives another number of detections, say
    if reference.size == 0:
        return 0.0
    if reference.dtype.kind != "f" or output.dtype.kind != "f":
        return float(np.mean(reference != output))
    if not np.isfinite(output).all():
        return math.inf
    a, b = reference.astype(np.float64), output.astype(np.float64)
    if a.ndim == 2 and a.shape[1] > 1:
        return _kl(_log_probabilities(a), _log_probabilities(b))
    return float(np.square(a - b).mean() / max(float(np.square(a).mean()), 1e-30))


def _kl(log_p: Array, log_q: Array) -> float:
    per_sample = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    return max(0.0, float(per_sample.mean()))  # rounding can make it slightly negative


def _log_probabilities(rows: Array) -> Array:
    if _are_probabilities(rows):
        logs = np.log(np.maximum(rows, np.exp(LEAST_LOG_PROBABILITY)))
    else:
        shifted = rows - rows.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.asarray(np.maximum(logs, LEAST_LOG_PROBABILITY))


def _are_probabilities(rows: Array) -> bool:
    return bool(rows.min() >= 0.0 and np.abs(rows.sum(axis=1) - 1.0).max() < 1e-3)
