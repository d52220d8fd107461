"""The operators as functions of packed weights, with arguments that are checked and named."""

from __future__ import annotations

import torch
from torch import Tensor

from inc_core.errors import QuantizationError
from inc_torch.kernels import library
from inc_torch.kernels.operators import Activation, Compute
from inc_torch.kernels.packing import Int4Weight, Int8Weight

library.load()

QUANTIZED_DTYPES = {torch.uint8: False, torch.int8: True}
"""Each dtype that activations are quantized to, and whether it is signed."""


def dynamic_linear(
    x: Tensor,
    weight: Int8Weight,
    scales: Tensor,
    bias: Tensor | None = None,
    activation: Activation = Activation.NONE,
) -> Tensor:
    """Compute ``activation(x @ weight.T + bias)`` in int8, each row of ``x`` quantized as it comes.

    Args:
        x: Floating, shape ``(..., in_features)``; rows are quantized to uint8, asymmetric.
        weight: From :func:`pack_int8_weight`.
        scales: float32, shape ``(out_features,)``: of the weight, per output.
        bias: float32, shape ``(out_features,)``.
        activation: Fused into the epilogue.

    Returns:
        The dtype of ``x``, shape ``(..., out_features)``. A row with a NaN or an infinity gives NaN.

    Raises:
        QuantizationError: If a shape does not fit.
    """
    _check_linear(x, weight.in_features, weight.out_features, bias)
    if scales.shape != (weight.out_features,):
        raise QuantizationError(
            f"dynamic_linear needs one scale per output, shape ({weight.out_features},), received "
            f"{tuple(scales.shape)}"
        )
    return torch.ops.inc.dynamic_linear(
        x,
        weight.packed,
        weight.column_sums,
        scales,
        bias,
        weight.out_features,
        int(activation),
    )


def int4_linear(
    x: Tensor, weight: Int4Weight, bias: Tensor | None = None, compute: Compute = Compute.INT8
) -> Tensor:
    """Compute ``x @ weight.T + bias`` for a weight of 4 bits.

    Args:
        x: Floating, shape ``(..., in_features)``.
        weight: From :func:`pack_int4_weight`.
        bias: float32, shape ``(out_features,)``.
        compute: In what the activations are; ``FP32`` is exact but for rounding.

    Returns:
        The dtype of ``x``, shape ``(..., out_features)``.

    Raises:
        QuantizationError: If a shape does not fit.
    """
    _check_linear(x, weight.in_features, weight.out_features, bias)
    return torch.ops.inc.int4_linear(
        x,
        weight.packed,
        weight.scales,
        weight.zero_points,
        bias,
        weight.in_features,
        weight.out_features,
        weight.group_size,
        int(compute),
    )


def quantize(x: Tensor, scale: float, zero_point: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Round ``x / scale + zero_point`` half to even and saturate; a NaN becomes ``zero_point``."""
    return torch.ops.inc.quantize(x, scale, zero_point, _is_signed(dtype))


def dequantize(q: Tensor, scale: float, zero_point: int) -> Tensor:
    """``(q - zero_point) * scale``, float32, for uint8 or int8."""
    _is_signed(q.dtype)
    return torch.ops.inc.dequantize(q, scale, zero_point)


def layer_norm_quantize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    scale: float,
    zero_point: int,
    dtype: torch.dtype = torch.uint8,
) -> Tensor:
    """Normalise over the last dimension and quantize, without the float result in between."""
    signed = _is_signed(dtype)
    return torch.ops.inc.layer_norm_quantize(x, weight, bias, eps, scale, zero_point, signed)


def _is_signed(dtype: torch.dtype) -> bool:
    if dtype not in QUANTIZED_DTYPES:
        raise QuantizationError(
            f"quantized tensors are torch.uint8 or torch.int8, received {dtype}"
        )
    return QUANTIZED_DTYPES[dtype]


def _check_linear(x: Tensor, in_features: int, out_features: int, bias: Tensor | None) -> None:
    if x.dim() == 0 or x.shape[-1] != in_features or not x.is_floating_point():
        raise QuantizationError(
            f"the weight takes floating activations of shape (..., {in_features}), received {x.dtype}, "
            f"shape {tuple(x.shape)}"
        )
    if bias is not None and bias.shape != (out_features,):
        raise QuantizationError(
            f"the bias must have shape ({out_features},), received {tuple(bias.shape)}"
        )
