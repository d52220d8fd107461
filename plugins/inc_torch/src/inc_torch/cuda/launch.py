"""The operators on CUDA tensors: tiles, grids, and the calls of the Triton kernels."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from inc_torch.cuda import kernels

__all__ = ["dynamic_linear", "int4_linear", "int4_tile", "int8_tile", "quantize_rows"]


class Tile(NamedTuple):
    """Outputs that one program computes, ``(m, n)``, and inputs that it takes at a time."""

    m: int
    n: int
    k: int


# A matrix unit takes at least 16 rows. Up to that many, reading the weight is what takes time, so
# that narrow tiles, one for every processor, serve best; these are not tuned on hardware yet.
_FEW_ROWS = 16
# 32 inputs per step: every group size is a multiple of it
_INT4_K = 32
_ROW_BLOCK = 1024


def int8_tile(rows: int) -> Tile:
    """Return the tile of ``int8_linear``."""
    return Tile(16, 64, 128) if rows <= _FEW_ROWS else Tile(64, 64, 64)


def int4_tile(rows: int) -> Tile:
    """Return the tile of ``int4_linear``."""
    return Tile(16, 32, _INT4_K) if rows <= _FEW_ROWS else Tile(64, 64, _INT4_K)


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize each row of ``(M, K)``.

    Returns:
        int8 ``(M, K)``, float32 scales ``(M,)``, int32 zero points ``(M,)``: of uint8, all minus 128.
    """
    rows, columns = x.shape
    q = torch.empty_like(x, dtype=torch.int8)
    scales = torch.empty(rows, dtype=torch.float32, device=x.device)
    zero_points = torch.empty(rows, dtype=torch.int32, device=x.device)
    block = min(_ROW_BLOCK, triton.next_power_of_2(columns))
    # fused, the product would be rounded once less than the reference does, which shows at ties
    kernels.quantize_rows[(rows,)](
        x, q, scales, zero_points, columns, BLOCK=block, enable_fp_fusion=False
    )
    return q, scales, zero_points


def dynamic_linear(
    x: Tensor,
    packed: Tensor,
    column_sums: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    out_features: int,
    activation: int,
) -> Tensor:
    """As ``inc_torch.kernels.reference.dynamic_linear``."""
    inputs = x.reshape(-1, x.shape[-1]).contiguous()
    y = x.new_empty((*x.shape[:-1], out_features))
    rows, columns = inputs.shape
    if not rows:
        return y
    q, row_scales, row_zero_points = quantize_rows(inputs)
    tile = int8_tile(rows)
    kernels.int8_linear[_grid(rows, out_features, tile)](
        q,
        row_scales,
        row_zero_points,
        packed,
        column_sums,
        scales.contiguous(),
        scales if bias is None else bias.float().contiguous(),
        y,
        rows,
        out_features,
        columns,
        HAS_BIAS=bias is not None,
        ACTIVATION=activation,
        BLOCK_M=tile.m,
        BLOCK_N=tile.n,
        BLOCK_K=tile.k,
    )
    return y


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
    """As ``inc_torch.kernels.reference.int4_linear`` at ``FP32``, in the dtype of ``x``.

    ``compute`` is not looked at: half precision is what GPUs multiply fastest beside 4-bit weights.
    """
    inputs = x.reshape(-1, in_features).contiguous()
    y = x.new_empty((*x.shape[:-1], out_features))
    rows = len(inputs)
    if not rows:
        return y
    tile = int4_tile(rows)
    kernels.int4_linear[_grid(rows, out_features, tile)](
        inputs,
        packed,
        scales,
        packed if zero_points is None else zero_points,
        scales if bias is None else bias.float().contiguous(),
        y,
        rows,
        out_features,
        in_features,
        packed.shape[1] * 8,
        scales.shape[1],
        GROUP_SIZE=group_size,
        HAS_ZERO_POINTS=zero_points is not None,
        HAS_BIAS=bias is not None,
        UPCAST=triton.knobs.runtime.interpret,
        BLOCK_M=tile.m,
        BLOCK_N=tile.n,
        BLOCK_K=tile.k,
    )
    return y


def _grid(rows: int, outputs: int, tile: Tile) -> tuple[int, int]:
    return triton.cdiv(rows, tile.m), triton.cdiv(outputs, tile.n)
