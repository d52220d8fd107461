"""Quantized weights: per tensor, per channel, or in groups along the input dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from inc_core.errors import QuantizationError
from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import TensorSpec

__all__ = ["quantize_weight", "weight_qparams"]

Array = np.ndarray[Any, Any]


def quantize_weight(weight: Array, spec: TensorSpec, axis: int | None = 0) -> tuple[Array, QParams]:
    """Quantize a weight by rounding to nearest.

    Args:
        weight: Float array, any shape; with groups a matrix.
        spec: Target dtype, scheme and granularity.
        axis: Dimension of the output channels. With groups, the groups run along the other
            dimension of the matrix, and a last, shorter group has a scale of its own.

    Returns:
        The integers (int8 or uint8, shape of ``weight``) and their ``QParams``.

    Raises:
        QuantizationError: If the weight is empty or not finite, has no such axis, or if ``spec``
            asks for another algorithm than minmax.
    """
    values = np.asarray(weight, np.float32)
    qparams = weight_qparams(values, spec, axis)
    return qparams.quantize(values), qparams


def weight_qparams(weight: Array, spec: TensorSpec, axis: int | None = 0) -> QParams:
    """Return the ``QParams`` with which ``quantize_weight`` rounds; takes and raises what it does."""
    values = np.asarray(weight, np.float32)
    if spec.algorithm != "minmax":
        raise QuantizationError(f"weights are quantized by minmax only, received {spec}")
    if values.ndim and axis is not None and not -values.ndim <= axis < values.ndim:
        raise QuantizationError(f"a weight of shape {values.shape} has no axis {axis}")
    if values.size == 0:
        raise _unusable(values)
    along, group_size = None, None
    if spec.granularity == "per_group":
        along, group_size = 1 - (axis or 0) % 2, spec.group_size
        lo, hi = _group_bounds(values, along, spec)
    elif spec.granularity == "per_channel" and axis is not None and values.ndim > 0:
        along = axis % values.ndim
        others = tuple(dim for dim in range(values.ndim) if dim != along)
        lo, hi = values.min(others), values.max(others)
    else:
        lo, hi = values.min(), values.max()
    # NaN and infinity pass through both; to look for them in the values takes as long as both
    if not (np.isfinite(lo).all() and np.isfinite(hi).all()):
        raise _unusable(values)
    return choose_qparams(lo, hi, spec, along, group_size)


def _unusable(values: Array) -> QuantizationError:
    return QuantizationError(
        f"a weight of shape {values.shape} is empty or holds NaN or infinite values"
    )


def _group_bounds(values: Array, along: int, spec: TensorSpec) -> tuple[Array, Array]:
    if values.ndim != 2 or spec.group_size is None:
        raise QuantizationError(
            f"groups need a matrix and a group_size, received shape {values.shape} and {spec}"
        )
    starts = np.arange(0, values.shape[along], spec.group_size)
    return (
        np.minimum.reduceat(values, starts, axis=along),
        np.maximum.reduceat(values, starts, axis=along),
    )
