"""HQQ: the grid itself is optimised for a norm that forgives outliers; no data is needed.

Source: Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models". The
paper keeps the scale and lets the zero point be any real number. Kernels take integer zero points,
so here the scale is fitted too, by least squares, after the zero point is rounded.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inc_core.quant.spec import TensorSpec
from inc_torch.weight_only.grid import Grid, QuantizedWeight, choose_grid, row_slices, to_groups
from inc_torch.weight_only.statistics import InputStatistics

__all__ = ["hqq"]

# The paper's norm, and its schedule of the half-quadratic splitting.
_NORM = 0.7
_BETA = 10.0
_BETA_GROWTH = 1.01
_ITERATIONS = 20


def hqq(
    weight: Tensor, spec: TensorSpec, statistics: InputStatistics | None = None
) -> QuantizedWeight:
    """Quantize a weight on a grid that is optimised for ``sum |W - W'|^0.7``.

    Args:
        weight: float ``(N, K)``.
        spec: Dtype, scheme, granularity.
        statistics: Not needed.

    Returns:
        Integers and grid; never worse in that norm than the grid that covers the weight.

    Raises:
        QuantizationError: As ``choose_grid``.
    """
    grids = [_optimised(weight[rows].float(), spec) for rows in row_slices(weight)]
    grid = replace(
        grids[0],
        scale=torch.cat([one.scale for one in grids]),
        zero_point=torch.cat([one.zero_point for one in grids]),
    )
    return QuantizedWeight(grid.quantize(weight), grid)


def _optimised(fp32_weight: Tensor, spec: TensorSpec) -> Grid:
    """Return the best grid of some channels."""
    grid = choose_grid(fp32_weight, spec)
    groups = to_groups(fp32_weight, grid.group_size)
    # padding of the last group must not pull its grid to zero
    present = to_groups(torch.ones(1, fp32_weight.shape[1]), grid.group_size)
    best, least = grid, _norm(groups, grid, present)
    beta = _BETA
    for _ in range(_ITERATIONS):
        grid = _refined(groups, grid, present, beta, asymmetric=spec.scheme == "asym")
        error = _norm(groups, grid, present)
        best, least = _better(best, least, grid, error)
        beta *= _BETA_GROWTH
    return best


def _refined(groups: Tensor, grid: Grid, present: Tensor, beta: float, *, asymmetric: bool) -> Grid:
    """Return the grid after one step: shrink the error, then fit zero point and scale to the rest."""
    steps = _steps(groups, grid)
    scale, zero_point = grid.scale[..., None], grid.zero_point[..., None]
    error = _shrunk(groups - (steps - zero_point) * scale, beta / scale.square())
    target = groups - error
    count = present.sum(-1)
    if asymmetric:
        fitted = ((steps - target / scale) * present).sum(-1) / count
        zero_point = torch.round(fitted).clamp(grid.qmin, grid.qmax)[..., None]
    centred = (steps - zero_point) * present
    energy = centred.square().sum(-1)
    scale = (centred * target).sum(-1) / energy.clamp(min=1.0)
    scale = torch.where((energy > 0) & (scale > 0), scale.half().float(), grid.scale)
    scale = torch.where(scale > 0, scale, grid.scale)
    return replace(grid, scale=scale, zero_point=zero_point[..., 0])


def _steps(groups: Tensor, grid: Grid) -> Tensor:
    q_groups = torch.round(groups / grid.scale[..., None]) + grid.zero_point[..., None]
    return q_groups.clamp_(grid.qmin, grid.qmax)


def _shrunk(error: Tensor, beta: Tensor) -> Tensor:
    """Return the proximal point of the norm: generalised soft thresholding."""
    magnitude = error.abs()
    threshold = magnitude.clamp(min=torch.finfo(torch.float32).tiny).pow(_NORM - 1) / beta
    return error.sign() * (magnitude - threshold).clamp_(min=0.0)


def _norm(groups: Tensor, grid: Grid, present: Tensor) -> Tensor:
    """Return ``sum |W - W'|^0.7`` of each group, ``(N, G)``."""
    steps = _steps(groups, grid)
    values = (steps - grid.zero_point[..., None]) * grid.scale[..., None]
    return ((groups - values).abs().pow(_NORM) * present).sum(-1)


def _better(best: Grid, least: Tensor, grid: Grid, error: Tensor) -> tuple[Grid, Tensor]:
    """Return group by group the grid with the smaller error, and that error."""
    wins = error < least
    scale = torch.where(wins, grid.scale, best.scale)
    zero_point = torch.where(wins, grid.zero_point, best.zero_point)
    return replace(best, scale=scale, zero_point=zero_point), torch.where(wins, error, least)
