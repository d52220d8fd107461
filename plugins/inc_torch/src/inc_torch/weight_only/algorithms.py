"""The weight-only algorithms by the name that a recipe uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from inc_core.errors import CalibrationError, QuantizationError
from inc_core.quant.spec import TensorSpec
from inc_torch.weight_only.awq import awq
from inc_torch.weight_only.gptq import gptq
from inc_torch.weight_only.grid import QuantizedWeight
from inc_torch.weight_only.hqq import hqq
from inc_torch.weight_only.rtn import rtn
from inc_torch.weight_only.statistics import InputStatistics

__all__ = ["ALGORITHMS", "Algorithm", "algorithm_of", "quantize_weight"]


# Magnitudes of a weight's largest value between which float16 holds scales of 2 to 8 bits to a percent:
# below it they would be subnormal, above it infinite. What lies outside is multiplied by a power of two.
_SMALLEST, _LARGEST = 2.0**-10, 2.0**14


class _Quantize(Protocol):
    def __call__(
        self, weight: Tensor, spec: TensorSpec, statistics: InputStatistics | None
    ) -> QuantizedWeight: ...


@dataclass(frozen=True)
class Algorithm:
    """One algorithm: what it does, and whether it looks at the layer's inputs."""

    quantize: _Quantize
    needs_inputs: bool


ALGORITHMS: Mapping[str, Algorithm] = {
    "rtn": Algorithm(rtn, needs_inputs=False),
    "hqq": Algorithm(hqq, needs_inputs=False),
    "gptq": Algorithm(gptq, needs_inputs=True),
    "awq": Algorithm(awq, needs_inputs=True),
}


def algorithm_of(spec: TensorSpec) -> Algorithm:
    """Return the algorithm that a spec names; rounding to nearest is the observer minmax.

    Raises:
        QuantizationError: If there is no such algorithm.
    """
    name = "rtn" if spec.algorithm == "minmax" else spec.algorithm
    if name not in ALGORITHMS:
        raise QuantizationError(
            f"no weight-only algorithm {spec.algorithm!r}; known: {', '.join(ALGORITHMS)}"
        )
    return ALGORITHMS[name]


def quantize_weight(
    weight: Tensor, spec: TensorSpec, statistics: InputStatistics | None = None
) -> QuantizedWeight:
    """Quantize a weight ``(N, K)`` by the algorithm that ``spec`` names.

    A weight too small or large for float16 scales is multiplied first; an ``input_scale`` undoes it.

    Raises:
        QuantizationError: If the algorithm is unknown, or as the algorithm.
        CalibrationError: If the algorithm needs statistics and there are none, or of no row.
    """
    algorithm, name = algorithm_of(spec), spec.algorithm
    factor = _power_of_two(weight)
    if algorithm.needs_inputs and (statistics is None or statistics.rows == 0):
        raise CalibrationError(
            f"{name} needs calibration data that reaches this layer, and there was none; "
            "give a calib_dataloader, or choose rtn or hqq"
        )
    if algorithm.needs_inputs and statistics and not statistics.gram.isfinite().all():
        raise CalibrationError(f"{name}: the layer's inputs hold NaN or infinite values")
    found = algorithm.quantize(weight if factor == 1 else weight * factor, spec, statistics)
    if factor == 1:
        return found
    inputs = torch.ones(weight.shape[1]) if found.input_scale is None else found.input_scale
    return replace(found, input_scale=inputs / factor)


def _power_of_two(weight: Tensor) -> float:
    """Return by what to multiply a weight, and divide its inputs, so that float16 holds its scales."""
    largest = float(weight.abs().max()) if weight.numel() else 0.0
    if largest == 0 or not math.isfinite(largest) or _SMALLEST <= largest <= _LARGEST:
        return 1.0
    return 2.0 ** -math.frexp(largest)[1]
