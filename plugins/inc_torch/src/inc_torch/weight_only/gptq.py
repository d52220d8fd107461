"""GPTQ: round column by column, and let the columns that are still float make up for the error.

Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1, with columns in the order of their
inputs' energy and every group's grid chosen before the first column ("static groups").
"""

from __future__ import annotations

import torch
from torch import Tensor

from inc_core.errors import QuantizationError
from inc_core.quant.spec import TensorSpec
from inc_torch.weight_only.grid import Grid, QuantizedWeight, choose_grid, row_slices
from inc_torch.weight_only.statistics import InputStatistics

__all__ = ["gptq"]

# Share of the mean input energy that is added to every input, as in the paper; multiplied by ten as
# often as the matrix is still not positive definite.
_DAMPING = 0.01
_MAX_DAMPING = 10.0

# Columns whose corrections are applied at once to the rest of the matrix: one large product
# instead of many small ones.
_BLOCK = 128


def gptq(weight: Tensor, spec: TensorSpec, statistics: InputStatistics) -> QuantizedWeight:
    """Quantize a weight so that the layer's outputs change least.

    Args:
        weight: float ``(N, K)``.
        spec: Dtype, scheme, granularity.
        statistics: Of the layer's inputs; columns without energy are rounded to nearest.

    Returns:
        Integers and grid.

    Raises:
        QuantizationError: As ``choose_grid``, or if no damping makes the moments definite.
    """
    energy = statistics.gram.diagonal()
    grid = choose_grid(weight, spec)
    order = torch.argsort(energy, descending=True)
    factor = _inverse_factor(statistics.gram[order][:, order])
    q_weight = torch.empty(weight.shape, dtype=torch.int8)
    for rows in row_slices(weight):
        some = weight[rows].float()
        q_weight[rows] = _round_in_order(some, grid.of_rows(rows), order, factor)
    return QuantizedWeight(q_weight, grid)


def _round_in_order(weight: Tensor, grid: Grid, order: Tensor, factor: Tensor) -> Tensor:
    """Return the integers ``(N, K)``; ``factor`` is upper triangular, in the order of ``order``."""
    remaining = weight[:, order]
    q_weight = torch.empty(weight.shape, dtype=torch.int8)
    columns = order.tolist()
    for start in range(0, len(columns), _BLOCK):
        stop = min(start + _BLOCK, len(columns))
        errors = torch.empty(len(weight), stop - start)
        block = remaining[:, start:stop]  # a view: corrections inside the block show at once
        for index in range(start, stop):
            here = index - start
            scale, zero_point = grid.column(columns[index])
            values = block[:, here]
            steps = torch.round(values / scale).add_(zero_point).clamp_(grid.qmin, grid.qmax)
            q_weight[:, columns[index]] = steps.to(torch.int8)
            error = (values - (steps - zero_point) * scale) / factor[index, index]
            block[:, here:] -= torch.outer(error, factor[index, index:stop])
            errors[:, here] = error
        remaining[:, stop:] -= errors @ factor[start:stop, stop:]
    return q_weight


def _inverse_factor(gram: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the inverse of the damped moments, float32 ``(K, K)``."""
    hessian = gram.double().clone()
    diagonal = hessian.diagonal()
    # an input that is never there has no error to make up for, and takes part in none
    diagonal[diagonal == 0] = 1.0
    mean, damping = float(diagonal.mean()), _DAMPING
    while damping <= _MAX_DAMPING:
        damped = hessian + damping * mean * torch.eye(len(hessian), dtype=torch.float64)
        lower, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            inverse = torch.cholesky_inverse(lower)
            upper, failed = torch.linalg.cholesky_ex(inverse, upper=True)
            if not failed:
                return upper.float()
        damping *= 10
    raise QuantizationError(
        "GPTQ: the inputs' second moments are not positive definite even with damping "
        f"{_MAX_DAMPING:g}; check the calibration data for NaN or infinite values, or use RTN"
    )
