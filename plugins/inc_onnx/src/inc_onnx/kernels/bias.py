"""Integer biases: their scale is the product of the input's and the weight's."""

from __future__ import annotations

from typing import Any

import numpy as np

from inc_core.quant.qparams import QParams
from inc_onnx.weights import QuantizedWeight

__all__ = ["fit_weight_to_bias", "integer_bias"]

Array = np.ndarray[Any, Any]

# the sum of products needs room beside the bias in 32 bits
_BIAS_LIMIT = 2.0**30


def integer_bias(bias: Array, x_scale: float, weight_scale: Array) -> Array:
    """Return a bias as int32 of scale ``x_scale * weight_scale``.

    Args:
        bias: Float bias, shape ``(channels,)``.
        x_scale: Scale of the op's input.
        weight_scale: Scale of the weight, shape ``()`` or ``(channels,)``.
    """
    scale = np.float64(x_scale) * weight_scale.astype(np.float64)
    rounded = np.rint(bias.astype(np.float64) / scale)
    return np.asarray(rounded.clip(-_BIAS_LIMIT, _BIAS_LIMIT), np.int32)


def fit_weight_to_bias(
    weight: Array, quantized: QuantizedWeight, bias: Array, x_scale: float, axis: int
) -> QuantizedWeight:
    """Coarsen the scale of channels whose bias would not fit into 32 bits.

    A dead channel has weights near 0 and so a tiny scale, but may well have a bias.

    Args:
        weight: Float weight.
        quantized: The same weight quantized.
        bias: Float bias, shape ``(channels,)``.
        x_scale: Scale of the op's input.
        axis: Dimension of the output channels.

    Returns:
        ``quantized`` itself where every bias fits, which is the rule.
    """
    scale = quantized.qparams.scale
    needed = (np.abs(bias) / (np.float64(x_scale) * _BIAS_LIMIT)).astype(np.float32)
    needed = needed if scale.ndim else needed.max(initial=0.0)
    if np.all(needed <= scale):
        return quantized
    wider = np.maximum(scale, needed).astype(np.float32)
    qparams = QParams(
        wider, quantized.qparams.zero_point, quantized.qparams.dtype, quantized.qparams.axis
    )
    shape = [1] * weight.ndim
    shape[axis] = -1
    rounded = np.rint(weight / wider.reshape(shape if wider.ndim else ()))
    limit = float(np.abs(quantized.q_weight).max(initial=1))
    return QuantizedWeight(rounded.clip(-limit, limit).astype(np.int8), qparams)
