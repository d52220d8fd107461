"""The operators on CUDA tensors: tiles, grids, and the calls of the Triton kernels."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from inc_torch.cuda import int4_kernels, int8_kernels, layout
from inc_torch.kernels.operators import Compute

__all__ = [
    "dynamic_linear",
    "int4_linear",
    "int4_tile",
    "int8_tile",
    "quantize_float8",
    "quantize_rows",
]


class Tile(NamedTuple):
    """Outputs that one program computes, ``(m, n)``, and inputs that it takes at a time.

    ``warps`` of 32 threads work on it, with ``stages`` tiles of inputs on their way.
    """

    m: int
    n: int
    k: int
    warps: int
    stages: int

    def options(self) -> dict[str, int]:
        """Return what a launch takes besides sizes."""
        return {"num_warps": self.warps, "num_stages": self.stages}


# A row up to this long is held by one program and read once.
_LONGEST_WHOLE_ROW = 16384
_ROW_BLOCK = 4096
# From so many rows on a product is bound by arithmetic: a weight made floating once costs less than
# making it so in every tile of rows.
_MANY_ROWS = 512
# more bytes than any output has: one group holds them all
_ALL_INPUTS = 2**30
# bytes of one output, two codes each, that a program of dequantize writes
_BYTES_MADE_FLOATING = 1024
_SUMMED_AT_ONCE = 1024

# Tiles by the rows up to which they serve, from the largest. The largest is the fastest, if every processor
# has one and half of them a second: measured on an H200 for layers of 768 to 14336.
_BUSY = 1.5
_INT8_TILES = (
    (16, (Tile(16, 64, 256, 4, 4), Tile(16, 32, 256, 4, 4), Tile(16, 16, 512, 2, 3))),
    (32, (Tile(32, 64, 256, 4, 3), Tile(32, 32, 256, 4, 4))),
    (128, (Tile(64, 128, 128, 4, 4), Tile(64, 64, 256, 4, 3), Tile(64, 32, 256, 4, 4))),
    (2**63, (Tile(128, 128, 128, 4, 3), Tile(64, 128, 128, 4, 4), Tile(64, 64, 128, 4, 4))),
)
# k counts bytes. Splits along the inputs make so many programs for each processor.
_INT4_TILES = (
    (16, Tile(16, 128, 64, 4, 4)),
    (32, Tile(32, 64, 64, 4, 4)),
    (64, Tile(64, 64, 64, 4, 3)),
    (2**63, Tile(128, 64, 64, 4, 3)),
)
_INT4_BUSY = 1.75
_MOST_SPLITS = 8


def int8_tile(rows: int, outputs: int, inputs: int, processors: int) -> Tile:
    """Return the tile of ``int8_linear`` on a GPU of so many processors."""
    tiles = next(tiles for most, tiles in _INT8_TILES if rows <= most)
    busy = (t for t in tiles if _programs(t, rows, outputs) >= _BUSY * processors)
    tile = next(busy, tiles[-1])
    # few steps need no more stages, which take memory from a program beside it
    return tile._replace(stages=min(tile.stages, max(inputs // tile.k // 2, 2)))


def int4_tile(rows: int, outputs: int, processors: int, group: int) -> tuple[Tile, int]:
    """Return the tile of ``int4_linear`` and its splits; ``k`` counts bytes, of one group of ``group``."""
    tile = next(tile for most, tile in _INT4_TILES if rows <= most)
    splits = round(_INT4_BUSY * processors / _programs(tile, rows, outputs))
    return tile._replace(k=_divisor(group, tile.k)), min(max(splits, 1), _MOST_SPLITS)


def _programs(tile: Tile, rows: int, outputs: int) -> int:
    return triton.cdiv(rows, tile.m) * triton.cdiv(outputs, tile.n)


@cache
def _processors(device: torch.device) -> int:
    on_gpu = device.type == "cuda"
    return torch.cuda.get_device_properties(device).multi_processor_count if on_gpu else 1


def _divisor(group: int, most: int) -> int:
    """Return the largest power of two up to ``most`` that divides a group."""
    return min(group & -group, most)


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize each row of ``(M, K)``.

    Returns:
        int8 ``(M, K16)``, not written beyond ``K``; float32 scales ``(M,)``; int32 zero points ``(M,)``: of
        uint8, all minus 128.
    """
    rows, columns = x.shape
    stride = columns + -columns % layout.ALIGNMENT
    q = torch.empty((rows, stride), dtype=torch.int8, device=x.device)
    scales = torch.empty(rows, dtype=torch.float32, device=x.device)
    zero_points = torch.empty(rows, dtype=torch.int32, device=x.device)
    # fused, the product would be rounded once less than the reference does, which shows at ties
    int8_kernels.quantize_rows[(rows,)](
        x, q, scales, zero_points, columns, stride, enable_fp_fusion=False, **_row_options(columns)
    )
    return q, scales, zero_points


def quantize_float8(x: Tensor) -> tuple[Tensor, Tensor]:
    """As ``float8.quantize_float8``, in one pass over ``(M, K)``."""
    rows, columns = x.shape
    q = torch.empty((rows, columns), dtype=torch.float8_e4m3fn, device=x.device)
    scales = torch.empty((rows, 1), dtype=torch.float32, device=x.device)
    int8_kernels.quantize_rows_float8[(rows,)](x, q, scales, columns, **_row_options(columns))
    return q, scales


def _row_options(columns: int) -> dict[str, Any]:
    """Return the block of a kernel that takes a row at a time, and its warps: 16 to 32 values a thread."""
    whole = columns <= _LONGEST_WHOLE_ROW
    block = triton.next_power_of_2(columns) if whole else _ROW_BLOCK
    warps = min(max(block // 1024, 1), 16)
    return {"WHOLE": whole, "BLOCK": block, "num_warps": warps}


def dynamic_linear(
    x: Tensor,
    packed: Tensor,
    column_sums: Tensor,
    scales: Tensor,
    bias: Tensor | None,
    out_features: int,
    activation: int,
) -> Tensor:
    """As ``inc_torch.kernels.reference.dynamic_linear``; a weight packed for CPUs is turned at every call."""
    inputs = x.reshape(-1, x.shape[-1]).contiguous()
    y = x.new_empty((*x.shape[:-1], out_features))
    rows, columns = inputs.shape
    if not rows:
        return y
    q, row_scales, row_zero_points = quantize_rows(inputs)
    tile = int8_tile(rows, out_features, columns, _processors(x.device))
    int8_kernels.int8_linear[(_programs(tile, rows, out_features),)](
        q,
        row_scales,
        row_zero_points,
        layout.int8_matrix(packed),
        column_sums,
        scales.contiguous(),
        scales if bias is None else bias.float().contiguous(),
        y,
        rows,
        out_features,
        q.shape[1],
        HAS_BIAS=bias is not None,
        ACTIVATION=activation,
        BLOCK_M=tile.m,
        BLOCK_N=tile.n,
        BLOCK_K=tile.k,
        **tile.options(),
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
    """As ``inc_torch.kernels.reference.int4_linear``, in the dtype of ``x`` or in bfloat16.

    Half precision is what GPUs multiply fastest beside 4-bit weights: where ``compute`` allows to round
    float32 activations, to bfloat16 or to int8, they are rounded to bfloat16. A weight packed for CPUs is
    turned at every call.
    """
    rounded = x.bfloat16() if compute != Compute.FP32 and x.dtype == torch.float32 else x
    inputs = rounded.reshape(-1, in_features).contiguous()
    matrix = layout.int4_matrix(packed, group_size)
    weight = _Int4(matrix, layout.int4_grid(scales, zero_points), group_size)
    shape = (len(inputs), out_features, in_features)
    if len(inputs) >= _MANY_ROWS:
        y = torch.nn.functional.linear(
            inputs,
            _floating(weight, inputs, shape),
            None if bias is None else bias.to(inputs.dtype),
        )
        return y.reshape(*x.shape[:-1], out_features).to(x.dtype)
    y = x.new_empty((*x.shape[:-1], out_features))
    if len(inputs):
        _few_rows(inputs, weight, bias, y, shape)
    return y


class _Int4(NamedTuple):
    """A 4-bit weight as ``layout`` turns it."""

    matrix: Tensor
    grid: Tensor
    group_size: int

    @property
    def group(self) -> int:
        """Bytes of a group; more than any output has if one group holds all inputs."""
        return _ALL_INPUTS if len(self.grid) == 1 else self.group_size // 2

    def constants(self) -> dict[str, int]:
        """Return what every kernel of it takes."""
        return {"GROUP": self.group, "HALF": layout.half_of(self.group_size)}


def _few_rows(
    x: Tensor, weight: _Int4, bias: Tensor | None, y: Tensor, shape: tuple[int, int, int]
) -> None:
    rows, outputs, inputs = shape
    processors = _processors(x.device)
    tile, splits = int4_tile(rows, outputs, processors, weight.group)
    parts = _parts(y, splits)
    stride = weight.matrix.shape[1]
    grid = (triton.cdiv(outputs, tile.n), triton.cdiv(rows, tile.m), splits)
    int4_kernels.int4_linear[grid](
        x,
        weight.matrix,
        weight.grid,
        weight.grid if bias is None else bias.float().contiguous(),
        parts,
        rows,
        outputs,
        inputs,
        stride,
        weight.grid.shape[1],
        HAS_BIAS=bias is not None,
        UPCAST=triton.knobs.runtime.interpret,
        BLOCK_M=tile.m,
        BLOCK_N=tile.n,
        BLOCK_B=tile.k,
        SPLITS=splits,
        WHOLE=inputs == 2 * stride and stride % tile.k == 0,
        **weight.constants(),
        **tile.options(),
    )
    _sum(parts, y)


def _parts(y: Tensor, splits: int) -> Tensor:
    """Return where a kernel writes: the result, or one float32 part of it for each split of the inputs."""
    return y if splits == 1 else y.new_empty((splits, y.numel()), dtype=torch.float32)


def _sum(parts: Tensor, y: Tensor) -> None:
    if parts is not y:
        grid = (triton.cdiv(y.numel(), _SUMMED_AT_ONCE),)
        int4_kernels.sum_splits[grid](parts, y, y.numel(), SPLITS=len(parts), BLOCK=_SUMMED_AT_ONCE)


def _floating(weight: _Int4, x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    _, outputs, inputs = shape
    floating = x.new_empty((outputs, inputs))
    stride = weight.matrix.shape[1]
    block = min(_BYTES_MADE_FLOATING, triton.next_power_of_2(stride))
    int4_kernels.dequantize[(outputs, triton.cdiv(stride, block))](
        weight.matrix,
        weight.grid,
        floating,
        inputs,
        stride,
        weight.grid.shape[1],
        BLOCK_B=block,
        **weight.constants(),
    )
    return floating
