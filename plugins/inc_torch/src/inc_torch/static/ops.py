"""The vocabulary of lowered graphs: a dozen functions on tensors, each made of torch's own ops.

A lowered graph calls these functions. Run as they are, they are the readable reference, and what
``torch.export`` traces through: an exported program holds torch's ops only. For speed
``inc_torch.static.packed`` replaces each by a prepacked form that gives the same integers.

Everywhere: ``q_x`` is u8 with ``real = (q - zero_point) * scale``; ``q_weight`` is s8 of the float
weight's shape; ``w_scale`` float32 ``(out,)``; ``bias`` float32 ``(out,)`` or ``None``.
``out_scale is None`` asks for a float32 result instead of u8. ``post`` is an epilogue of
``inc_torch.static.epilogue``. Images come out in channels-last memory. Nothing is written in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
from torch import Tensor

import inc_torch.static.fakes  # noqa: F401  # torch.export needs to know the shapes of packing

__all__ = [
    "add",
    "clamp",
    "conv",
    "conv_add",
    "dequantize",
    "linear",
    "linear_add",
    "max_pool2d",
    "mean",
    "out_arguments",
    "pack_conv",
    "pad",
    "post_arguments",
    "quantize",
]

_onednn = torch.ops.onednn
_decomposed = torch.ops.quantized_decomposed


def quantize(x: Tensor, scale: float, zero_point: int, channels_last: bool = False) -> Tensor:
    """Round float32 ``x`` half to even and saturate to u8; images into channels-last memory if asked."""
    q_x = _decomposed.quantize_per_tensor.default(x, scale, zero_point, 0, 255, torch.uint8)
    return q_x.contiguous(memory_format=torch.channels_last) if channels_last else q_x


def dequantize(q_x: Tensor, scale: float, zero_point: int) -> Tensor:
    """Return ``(q_x - zero_point) * scale`` in float32."""
    return _decomposed.dequantize_per_tensor.default(q_x, scale, zero_point, 0, 255, torch.uint8)


def conv(
    q_x: Tensor,
    x_scale: float,
    x_zero_point: int,
    q_weight: Tensor,
    w_scale: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    out_scale: float | None,
    out_zero_point: int,
    post: str = "none",
    post_args: Sequence[float] = (),
    size: Sequence[int] | None = None,
) -> Tensor:
    """Convolve in integers, with bias, epilogue and requantization fused. 1-D and 2-D.

    Args:
        q_x: u8 ``(batch, in, *size)``; padded places count as real 0.
        q_weight: s8 ``(out, in / groups, *kernel)``.
        size: About the shape of ``q_x``: the weight is laid out for it.
    """
    geometry = (list(stride), list(padding), list(dilation), groups)
    packed = pack_conv(q_weight, w_scale, x_scale, x_zero_point, *geometry, size)
    one_dimensional = q_weight.dim() == 3
    op = _onednn.qconv1d_pointwise if one_dimensional else _onednn.qconv2d_pointwise
    return op.default(
        q_x,
        x_scale,
        x_zero_point,
        packed,
        w_scale,
        torch.zeros_like(w_scale, dtype=torch.int32),
        bias,
        *geometry,
        *out_arguments(out_scale, out_zero_point),
        post,
        post_arguments(post_args),
        "",
    )


def conv_add(
    q_x: Tensor,
    x_scale: float,
    x_zero_point: int,
    q_weight: Tensor,
    w_scale: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    q_other: Tensor,
    other_scale: float,
    other_zero_point: int,
    out_scale: float,
    out_zero_point: int,
    relu: bool,
    size: Sequence[int] | None = None,
) -> Tensor:
    """Convolve in 2-D, add a u8 tensor of the result's shape, apply ReLU if asked; u8 result."""
    geometry = (list(stride), list(padding), list(dilation), groups)
    packed = pack_conv(q_weight, w_scale, x_scale, x_zero_point, *geometry, size)
    return _onednn.qconv2d_pointwise.binary(
        q_x,
        x_scale,
        x_zero_point,
        packed,
        w_scale,
        torch.zeros_like(w_scale, dtype=torch.int32),
        # the op writes its result over this argument
        q_other.clone(memory_format=torch.channels_last),
        bias,
        *geometry,
        out_scale,
        out_zero_point,
        torch.uint8,
        other_scale,
        other_zero_point,
        "sum",
        1.0,
        "relu" if relu else "none",
        post_arguments(()),
        "",
    )


def linear(
    q_x: Tensor,
    x_scale: float,
    x_zero_point: int,
    q_weight: Tensor,
    w_scale: Tensor,
    bias: Tensor | None,
    out_scale: float | None,
    out_zero_point: int,
    post: str = "none",
    post_args: Sequence[float] = (),
    algorithm: str = "",
) -> Tensor:
    """Multiply u8 ``(..., in)`` by s8 ``(out, in)`` transposed, all else fused."""
    return _onednn.qlinear_pointwise.default(
        q_x,
        x_scale,
        x_zero_point,
        _onednn.qlinear_prepack.default(q_weight, None),
        w_scale,
        torch.zeros_like(w_scale, dtype=torch.int32),
        bias,
        *out_arguments(out_scale, out_zero_point),
        post,
        post_arguments(post_args),
        algorithm,
    )


def linear_add(
    q_x: Tensor,
    x_scale: float,
    x_zero_point: int,
    q_weight: Tensor,
    w_scale: Tensor,
    bias: Tensor | None,
    other: Tensor,
) -> Tensor:
    """Multiply as ``linear`` and add a float32 tensor of the result's shape; float32 result."""
    return _onednn.qlinear_pointwise.binary(
        q_x,
        x_scale,
        x_zero_point,
        _onednn.qlinear_prepack.default(q_weight, None),
        w_scale,
        torch.zeros_like(w_scale, dtype=torch.int32),
        other,
        bias,
        *out_arguments(None, 0),
        1.0,
        0,
        "add",
        1.0,
        "none",
        post_arguments(()),
        "",
    )


def add(
    q_a: Tensor,
    a_scale: float,
    a_zero_point: int,
    q_b: Tensor,
    b_scale: float,
    b_zero_point: int,
    out_scale: float | None,
    out_zero_point: int,
    relu: bool,
) -> Tensor:
    """Add two u8 tensors in float32, apply ReLU if asked, and round once. Not integer arithmetic."""
    total = dequantize(q_a, a_scale, a_zero_point) + dequantize(q_b, b_scale, b_zero_point)
    total = total.relu() if relu else total
    return total if out_scale is None else quantize(total, out_scale, out_zero_point)


def max_pool2d(
    q_x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> Tensor:
    """Take the largest integer of each window of u8 ``(batch, channels, height, width)``.

    ``torch.max_pool2d`` refuses uint8 images of more than 255 places; the maximum of shifted slices
    is the same, along one axis after the other.
    """
    for axis in (0, 1):
        window = (kernel[axis], stride[axis], padding[axis], dilation[axis])
        q_x = _max_along(q_x, axis + 2, *window, ceil_mode)
    return q_x


def _max_along(
    q_x: Tensor, dim: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> Tensor:
    reach = dilation * (kernel - 1) + 1
    room = q_x.shape[dim] + 2 * padding - reach
    count = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (count - 1) * stride >= q_x.shape[dim] + padding:
        count -= 1  # as in torch: a window must begin inside the image or its left padding
    after = max((count - 1) * stride + reach - q_x.shape[dim] - padding, 0)
    if padding or after:
        # 0 is the smallest u8, so it never wins against a place of the image
        q_x = torch.constant_pad_nd(q_x, [0] * (2 * (3 - dim)) + [padding, after], 0)
    last = (count - 1) * stride + 1
    result = None
    for start in range(0, reach, dilation):
        piece = torch.ops.aten.slice.Tensor(q_x, dim, start, start + last, stride)
        result = piece if result is None else torch.maximum(result, piece)
    assert result is not None
    return result


def mean(q_x: Tensor, scale: float, zero_point: int, keep_dimensions: bool) -> Tensor:
    """Average u8 ``(batch, channels, height, width)`` over its places, exactly; float32 result."""
    places = q_x.shape[2] * q_x.shape[3]
    total = torch.sum(q_x, (2, 3), keepdim=keep_dimensions, dtype=torch.int32)
    return (total - zero_point * places) * (scale / places)


def pad(q_x: Tensor, padding: Sequence[int], value: int) -> Tensor:
    """Pad the last dimensions with the integer ``value``; ``padding`` as in ``torch.nn.functional.pad``."""
    return torch.constant_pad_nd(q_x, list(padding), value)


def clamp(q_x: Tensor, lo: int, hi: int) -> Tensor:
    """Clamp integers: ReLU and its relatives on a quantized tensor."""
    return torch.clamp(q_x, lo, hi)


def pack_conv(
    q_weight: Tensor,
    w_scale: Tensor,
    x_scale: float,
    x_zero_point: int,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    size: Sequence[int] | None,
) -> Tensor:
    """Lay a weight out for ``onednn.qconv*_pointwise``; the result is opaque."""
    shape = None if size is None else list(size)
    return _onednn.qconv_prepack.default(
        q_weight, w_scale, x_scale, x_zero_point, stride, padding, dilation, groups, shape
    )


def post_arguments(numbers: Sequence[float]) -> list[float]:
    """Return an epilogue's numbers, never an empty list: torch 2.13 cannot save that in a program."""
    return list(numbers) or [0.0]


def out_arguments(scale: float | None, zero_point: int) -> tuple[float, int, torch.dtype]:
    """Return scale, zero point and dtype of a result, as the oneDNN ops want them."""
    return (1.0, 0, torch.float32) if scale is None else (scale, zero_point, torch.uint8)
