"""How packed weights lie in memory: the layouts of ``kernels/README.md``, written and read with torch ops.

Plain tensors, so that a ``state_dict``, a safetensors file or an exported program can hold them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from inc_core.errors import QuantizationError

COLUMN_BLOCK = 64
"""Output columns are padded to this: four vectors of sixteen, the widest tile of any kernel."""

GROUP_MULTIPLE = 32
"""Group sizes are multiples of this: the AVX2 kernel sums 32 products before it widens them."""

FLOAT16_MAX = 65504.0


class Int8Weight(NamedTuple):
    """A packed ``int8`` weight of shape ``(out_features, in_features)``.

    ``packed`` is int8, shape ``(N64 / 64, K4 / 4, 64, 4)``; ``column_sums`` is int32, shape ``(N64,)``, the
    sum of each output's weights, which undoes the activations' zero point. ``N64`` and ``K4`` are the
    features, padded with zeros.
    """

    packed: Tensor
    column_sums: Tensor
    in_features: int
    out_features: int


class Int4Weight(NamedTuple):
    """A packed 4-bit weight of shape ``(out_features, in_features)``, quantized in groups along its inputs.

    ``packed`` is uint8, shape ``(N64 / 32, K / 8, 32, 4)``: byte ``j`` holds input ``j`` of eight in its low
    half and input ``4 + j`` in its high half. ``scales`` is float16 and ``zero_points`` uint8 (None if
    symmetric: 8 everywhere), shape ``(G, N64)``. ``K`` is ``in_features``, padded to whole groups.
    """

    packed: Tensor
    scales: Tensor
    zero_points: Tensor | None
    in_features: int
    out_features: int
    group_size: int


def pack_int8_weight(q_weight: Tensor) -> Int8Weight:
    """Pack a quantized weight for :func:`inc_torch.kernels.dynamic_linear`.

    Args:
        q_weight: int8, shape ``(N, K)``, symmetric.

    Raises:
        QuantizationError: If it is not a matrix of int8.
    """
    if q_weight.dim() != 2 or q_weight.dtype != torch.int8:
        raise QuantizationError(
            f"pack_int8_weight needs an int8 matrix (out_features, in_features), received "
            f"{_describe(q_weight)}; quantize it symmetrically first"
        )
    n, k = q_weight.shape
    padded = torch.nn.functional.pad(q_weight, (0, -k % 4, 0, -n % COLUMN_BLOCK))
    blocks = padded.reshape(-1, COLUMN_BLOCK, padded.shape[1] // 4, 4)
    packed = blocks.permute(0, 2, 1, 3).contiguous()
    return Int8Weight(packed, padded.sum(1, dtype=torch.int32), k, n)


def unpack_int8_weight(packed: Tensor, in_features: int, out_features: int) -> Tensor:
    """Give back the int8 weight, shape ``(out_features, in_features)``."""
    blocks, quads = packed.shape[:2]
    padded = packed.permute(0, 2, 1, 3).reshape(blocks * COLUMN_BLOCK, quads * 4)
    return padded[:out_features, :in_features]


def pack_int4_weight(
    q: Tensor, scales: Tensor, zero_points: Tensor | None, group_size: int
) -> Int4Weight:
    """Pack a quantized weight for :func:`inc_torch.kernels.int4_linear`.

    The real weight is ``(q - zero_point) * scale`` of its group. Scales are stored as float16: choose ``q``
    with ``scales.half()`` where the last 0.05 % matter.

    Args:
        q: Integers 0..15, shape ``(N, K)``, any integer dtype.
        scales: Shape ``(N, G)``, floating; ``G = ceil(K / group_size)``.
        zero_points: Integers 0..15, shape ``(N, G)``, or None for symmetric weights (8 everywhere).
        group_size: Inputs that share a scale, a positive multiple of 32; or -1 for all of them.

    Raises:
        QuantizationError: If a shape, a group size or a value does not fit.
    """
    _check_int4(q, group_size)
    n, k = q.shape
    group_size = k + -k % GROUP_MULTIPLE if group_size == -1 else group_size
    groups = -(-k // group_size)
    _check_scales(scales, (n, groups))
    if zero_points is not None:
        _check_codes("zero_points", zero_points, (n, groups))
    padded = torch.nn.functional.pad(q.to(torch.uint8), (0, -k % group_size, 0, -n % COLUMN_BLOCK))
    lanes = padded.reshape(-1, 32, padded.shape[1] // 8, 2, 4).permute(0, 2, 3, 1, 4)
    packed = (lanes[:, :, 0] | lanes[:, :, 1] << 4).contiguous()
    rows = (0, 0, 0, -n % COLUMN_BLOCK)
    by_group = torch.nn.functional.pad(scales.float(), rows).t().to(torch.float16).contiguous()
    if zero_points is not None:
        zero_points = torch.nn.functional.pad(zero_points.to(torch.uint8), rows).t().contiguous()
    return Int4Weight(packed, by_group, zero_points, k, n, group_size)


def unpack_int4_weight(weight: Int4Weight) -> Tensor:
    """Give back the dequantized weight, float32, shape ``(out_features, in_features)``."""
    q = _padded_codes(weight).float()
    scales = weight.scales.float().t().repeat_interleave(weight.group_size, 1)
    if weight.zero_points is None:
        centred = q - 8
    else:
        centred = q - weight.zero_points.float().t().repeat_interleave(weight.group_size, 1)
    return (centred * scales)[: weight.out_features, : weight.in_features]


def int4_codes(weight: Int4Weight) -> tuple[Tensor, Tensor, Tensor]:
    """Give back what was packed.

    Returns:
        Codes uint8 ``(N, K)``, float32 scales and uint8 zero points ``(N, G)``.
    """
    n = weight.out_features
    scales = weight.scales.float().t()[:n].contiguous()
    if weight.zero_points is None:
        zero_points = torch.full_like(scales, 8, dtype=torch.uint8)
    else:
        zero_points = weight.zero_points.t()[:n].contiguous()
    return _padded_codes(weight)[:n, : weight.in_features], scales, zero_points


def _padded_codes(weight: Int4Weight) -> Tensor:
    halves = torch.stack([weight.packed & 15, weight.packed >> 4], 2)  # (panels, K / 8, 2, 32, 4)
    return halves.permute(0, 3, 1, 2, 4).reshape(weight.packed.shape[0] * 32, -1)


def _check_int4(q: Tensor, group_size: int) -> None:
    if group_size != -1 and (group_size <= 0 or group_size % GROUP_MULTIPLE):
        raise QuantizationError(
            f"group_size must be -1 or a positive multiple of {GROUP_MULTIPLE}, received {group_size}"
        )
    if q.dim() != 2 or not q.numel():
        raise QuantizationError(
            f"pack_int4_weight needs a matrix (out_features, in_features), received {_describe(q)}"
        )
    _check_codes("q", q, tuple(q.shape))


def _check_codes(name: str, codes: Tensor, shape: tuple[int, ...]) -> None:
    if codes.is_floating_point() or tuple(codes.shape) != shape:
        raise QuantizationError(
            f"{name} must hold integers 0..15 in shape {shape}, received {_describe(codes)}"
        )
    if codes.numel() and (int(codes.min()) < 0 or int(codes.max()) > 15):
        raise QuantizationError(
            f"{name} must be in 0..15, received {int(codes.min())}..{int(codes.max())}; "
            f"for signed 4-bit values add 8"
        )


def _check_scales(scales: Tensor, shape: tuple[int, int]) -> None:
    if not scales.is_floating_point() or tuple(scales.shape) != shape:
        raise QuantizationError(
            f"scales must be floating, shape {shape}, received {_describe(scales)}"
        )
    if not bool(torch.isfinite(scales).all()) or float(scales.abs().max()) > FLOAT16_MAX:
        raise QuantizationError(
            f"scales must be finite and at most {FLOAT16_MAX:g}, the largest float16; received a "
            f"largest magnitude of {float(scales.abs().max()):g}"
        )


def _describe(tensor: Tensor) -> str:
    return f"{tensor.dtype}, shape {tuple(tensor.shape)}"
