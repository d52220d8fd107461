"""What each operator computes, in plain torch ops: the oracle of every test, and the fallback.

Integer sums are exact on every device and machine. The contract that native kernels share:

* rounding is half to even, and what does not fit saturates;
* a NaN quantizes to the zero point where scale and zero point are given;
* a row of activations that holds a NaN or an infinity gives a row of NaN where they are chosen per row;
* the result has the dtype of ``x``; sums and epilogues are computed in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inc_torch.kernels.packing import Int4Weight, unpack_int4_weight, unpack_int8_weight

EXACT_CHUNK = 512
"""Inputs summed at once: 512 * 255 * 127 < 2**24, so a float32 matrix product of integers is exact."""

SMALLEST_SCALE = torch.finfo(torch.float32).tiny
"""Below it ``1 / scale`` overflows; such a row is all zero for every purpose."""

_CHANNELS_LAST = torch.channels_last


def dynamic_linear(
    x: Tensor,
    packed: Tensor,
    column_sums: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    out_features: int,
    activation: int,
) -> Tensor:
    """Quantize each row of ``x`` to uint8, multiply in integers, rescale, add the bias, activate."""
    rows = x.reshape(-1, x.shape[-1]).float()
    q, row_scales, zero_points = quantize_rows(rows)
    weight = unpack_int8_weight(packed, x.shape[-1], out_features)
    sums = _integer_product(q, weight) - zero_points * column_sums[:out_features]
    y = sums.float() * row_scales * scales[:out_features].float()
    if bias is not None:
        y = y + bias.float()
    return activate(y, activation).reshape(*x.shape[:-1], out_features).to(x.dtype)


def static_linear(
    q_x: Tensor,
    x_scale: float,
    x_zero_point: int,
    packed: Tensor,
    column_sums: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    activation: int,
    addend: Tensor | None,
    out_scale: float | None,
    out_zero_point: int,
) -> Tensor:
    """Multiply uint8 activations in integers, rescale, add the bias, activate, add, round if asked."""
    out_features = scales.shape[0]
    rows = q_x.reshape(-1, q_x.shape[-1]).to(torch.int32)
    weight = unpack_int8_weight(packed, q_x.shape[-1], out_features)
    sums = _integer_product(rows, weight) - x_zero_point * column_sums[:out_features]
    y = sums.float() * torch.tensor(x_scale, dtype=torch.float32) * scales.float()
    if bias is not None:
        y = y + bias.float()
    y = activate(y, activation).reshape(*q_x.shape[:-1], out_features)
    if addend is not None:
        y = y + addend.float()
    return y if out_scale is None else quantize(y, out_scale, out_zero_point, False)


def quantize_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose scale and zero point of each row so that they cover it and zero, and quantize to 0..255.

    Args:
        rows: float32, shape ``(M, K)``.

    Returns:
        int32 values ``(M, K)``, float32 scales ``(M, 1)``, int32 zero points ``(M, 1)``; the scale of a row
        with a NaN or an infinity is NaN.
    """
    lo = rows.amin(1, keepdim=True).clamp(max=0)
    hi = rows.amax(1, keepdim=True).clamp(min=0)
    scales = (hi - lo) / 255
    usable = scales >= SMALLEST_SCALE
    finite = torch.isfinite(scales)
    safe = torch.where(usable & finite, scales, 1)
    inverse = 1 / safe
    zero_points = torch.where(finite, torch.round(-lo * inverse), 0).to(torch.int32)
    values = torch.where(finite, torch.round(rows * inverse), 0) + zero_points
    q = values.clamp(0, 255).to(torch.int32)
    return q, torch.where(finite, safe, torch.nan), zero_points


def int4_linear(
    x: Tensor,
    packed: Tensor,
    scales: Tensor,
    zero_points: Tensor | None,
    bias: Tensor | None,
    in_features: int,
    out_features: int,
    group_size: int,
    compute: int,
) -> Tensor:
    """Multiply by a 4-bit weight; ``compute`` says in what the activations are: fp32, bf16 or int8."""
    weight = Int4Weight(packed, scales, zero_points, in_features, out_features, group_size)
    rows = x.reshape(-1, in_features).float()
    if compute == 1:
        rows = rows.bfloat16().float()
    elif compute == 2:
        rows = _through_int8_groups(rows, group_size)
    y = rows @ unpack_int4_weight(weight).t()
    if bias is not None:
        y = y + bias.float()
    return y.reshape(*x.shape[:-1], out_features).to(x.dtype)


def quantize_groups(rows: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
    """Quantize each group of each row symmetrically to int8.

    Returns:
        int32 values in -127..127, shape ``(M, G, group_size)``, zeros beyond the row; float32 scales
        ``(M, G, 1)``, NaN for a group with a NaN or an infinity.
    """
    padded = torch.nn.functional.pad(rows, (0, -rows.shape[1] % group_size))
    groups = padded.reshape(rows.shape[0], -1, group_size)
    scales = groups.abs().amax(2, keepdim=True) / 127
    finite = torch.isfinite(scales)
    inverse = torch.where(finite & (scales >= SMALLEST_SCALE), 1 / scales, 0)
    values = torch.where(finite, torch.round(groups * inverse), 0)
    return values.to(torch.int32), torch.where(finite, scales, torch.nan)


def quantize(x: Tensor, scale: float, zero_point: int, signed: bool) -> Tensor:
    """``clamp(round(x / scale) + zero_point)`` as uint8 or int8; the division is by multiplying."""
    lo, hi, dtype = (-128, 127, torch.int8) if signed else (0, 255, torch.uint8)
    inverse = torch.tensor(scale, dtype=torch.float32).reciprocal().to(x.device)
    # beyond +-2**30 every zero point leaves it saturated, and adding stays exact in int32
    steps = torch.round(x.float() * inverse).nan_to_num(0.0).clamp(-(2.0**30), 2.0**30)
    q = (steps.to(torch.int32) + zero_point).clamp(lo, hi).to(dtype)
    return q.contiguous(memory_format=layout_of(x))


def dequantize(q: Tensor, scale: float, zero_point: int) -> Tensor:
    """``(q - zero_point) * scale`` as float32."""
    factor = torch.tensor(scale, dtype=torch.float32).to(q.device)
    y = (q.to(torch.int32) - zero_point).float() * factor
    return y.contiguous(memory_format=layout_of(q))


def layout_of(x: Tensor) -> torch.memory_format:
    """The memory format of what is computed elementwise from ``x``: channels_last stays so."""
    if x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=_CHANNELS_LAST):
        return _CHANNELS_LAST
    return torch.contiguous_format


def layer_norm_quantize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    scale: float,
    zero_point: int,
    signed: bool,
) -> Tensor:
    """Normalise over the last dimension, then quantize."""
    return layer_norm_and_quantize(x, weight, bias, eps, scale, zero_point, signed)[0]


def layer_norm_and_quantize(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    scale: float,
    zero_point: int,
    signed: bool,
) -> tuple[Tensor, Tensor]:
    """Normalise over the last dimension: the integers, and the float32 values that they stand for."""
    weight, bias = (None if part is None else part.float() for part in (weight, bias))
    rows = x.float().contiguous()
    y = torch.nn.functional.layer_norm(rows, x.shape[-1:], weight, bias, eps)
    return quantize(y, scale, zero_point, signed), y


def activate(y: Tensor, activation: int) -> Tensor:
    """Apply an ``Activation`` by its number."""
    functional = torch.nn.functional
    if activation == 1:
        return functional.relu(y)
    if activation == 2:
        return functional.gelu(y)
    if activation == 3:
        return functional.gelu(y, approximate="tanh")
    if activation == 4:
        return functional.silu(y)
    return y


def _integer_product(q: Tensor, weight: Tensor) -> Tensor:
    """``q @ weight.T`` in int32, exact."""
    total = torch.zeros(q.shape[0], weight.shape[0], dtype=torch.int32, device=q.device)
    for k in range(0, q.shape[1], EXACT_CHUNK):
        part = slice(k, k + EXACT_CHUNK)
        total += (q[:, part].float() @ weight[:, part].float().t()).to(torch.int32)
    return total


def _through_int8_groups(rows: Tensor, group_size: int) -> Tensor:
    values, scales = quantize_groups(rows, group_size)
    return (values * scales).reshape(rows.shape[0], -1)[:, : rows.shape[1]]
