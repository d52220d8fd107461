"""RTN: every weight to the nearest point of its grid."""

from __future__ import annotations

from torch import Tensor

from inc_core.quant.spec import TensorSpec
from inc_torch.weight_only.grid import QuantizedWeight, choose_grid
from inc_torch.weight_only.statistics import InputStatistics

__all__ = ["rtn"]


def rtn(
    weight: Tensor, spec: TensorSpec, statistics: InputStatistics | None = None
) -> QuantizedWeight:
    """Quantize a weight by rounding to nearest on the grid that covers it.

    Args:
        weight: float ``(N, K)``.
        spec: Dtype, scheme, granularity.
        statistics: Not needed.

    Returns:
        Integers and grid.

    Raises:
        QuantizationError: As ``choose_grid``.
    """
    grid = choose_grid(weight, spec)
    return QuantizedWeight(grid.quantize(weight), grid)
