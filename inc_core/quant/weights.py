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
    if values.size == 0 or not np.isfinite(values).all():
        raise QuantizationError(
            f"a weight of shape {values.shape} is empty or holds NaN or infinite values"
        )
    if values.ndim and axis is not None and not -values.ndim <= axis < values.ndim:
        raise QuantizationError(f"a weight of shape {values.shape} has no axis {axis}")
    if spec.granularity == "per_group":
        return _group_qparams(values, spec, axis or 0)
    if spec.granularity == "per_channel" and axis is not None and values.ndim > 0:
        axis = axis % values.ndim
        others = tuple(dim for dim in range(values.ndim) if dim != axis)
        return choose_qparams(values.min(others), values.max(others), spec, axis)
    return choose_qparams(values.min(), values.max(), spec)


def _group_qparams(values: Array, spec: TensorSpec, axis: int) -> QParams:
    if values.ndim != 2 or spec.group_size is None:
        raise QuantizationError(
            f"groups need a matrix and a group_size, received shape {values.shape} and {spec}"
        )
    along = 1 - axis % 2
    starts = np.arange(0, values.shape[along], spec.group_size)
    lo = np.minimum.reduceat(values, starts, axis=along)
    hi = np.maximum.reduceat(values, starts, axis=along)
    return choose_qparams(lo, hi, spec, along, spec.group_size)
