"""AWQ: inputs that matter get a finer grid, by moving scale from inputs to weights.

Source: Lin et al. 2023, arXiv:2306.00978: ``W x = (W s) (x / s)`` with ``s = mean|x|^alpha``; alpha
is searched on the error of the layer's outputs, here from second moments instead of samples. The
paper's clipping of ranges is left out, see ``choose_grid``.
"""

from __future__ import annotations

from torch import Tensor

from inc_core.quant.spec import TensorSpec
from inc_torch.weight_only.grid import QuantizedWeight, choose_grid
from inc_torch.weight_only.statistics import InputStatistics, output_error

__all__ = ["awq"]

# Exponents that are tried, as in the paper: 0 leaves the weight as it is.
_ALPHAS = tuple(step / 20 for step in range(20))

# An input that is hardly ever there must not scale its weights to nothing.
_SMALLEST_MEAN = 1e-4


def awq(weight: Tensor, spec: TensorSpec, statistics: InputStatistics) -> QuantizedWeight:
    """Quantize a weight after scaling its inputs by their importance.

    Args:
        weight: float ``(N, K)``.
        spec: Dtype, scheme, granularity.
        statistics: Of the layer's inputs.

    Returns:
        Integers, grid, and the ``input_scale`` that undoes the scaling; ``None`` where scaling
        does not pay.

    Raises:
        QuantizationError: As ``choose_grid``.
    """
    fp32_weight = weight.float()
    tried = (_scaled(fp32_weight, spec, statistics, alpha) for alpha in _ALPHAS)
    return min(tried, key=lambda found: output_error(found.dequantize() - fp32_weight, statistics))


def _scaled(
    weight: Tensor, spec: TensorSpec, statistics: InputStatistics, alpha: float
) -> QuantizedWeight:
    if alpha == 0:
        grid = choose_grid(weight, spec)
        return QuantizedWeight(grid.quantize(weight), grid)
    scale = _channel_scale(statistics.mean_abs, alpha)
    scaled = weight * scale
    grid = choose_grid(scaled, spec)
    return QuantizedWeight(grid.quantize(scaled), grid, input_scale=1.0 / scale)


def _channel_scale(mean_abs: Tensor, alpha: float) -> Tensor:
    """Return ``s``, ``(K,)``, normalised so that the largest and smallest are each other's inverse."""
    scale = mean_abs.clamp(min=_SMALLEST_MEAN).pow(alpha)
    return scale / (scale.max() * scale.min()).sqrt()
