"""Weights in few bits, chosen once for every recipe of a float model that wants them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from inc_core.quant.spec import OpConfig
from inc_torch.weight_only.algorithms import quantize_weight
from inc_torch.weight_only.grid import QuantizedWeight
from inc_torch.weight_only.statistics import InputStatistics

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["Chosen", "ChosenWeights", "Observe", "Sink", "weight_only"]

Chosen = Mapping[str, QuantizedWeight]
Sink = Callable[[str, InputStatistics], None]
# runs the calibration samples, and hands over the statistics of the inputs of the named ops
Observe = Callable[[Sequence[str], Sink], None]


def weight_only(configs: Mapping[str, OpConfig]) -> dict[str, OpConfig]:
    """Return the weight-only ones."""
    return {name: config for name, config in configs.items() if config.mode == "weight_only"}


class ChosenWeights:
    """Remembers the quantized weights of one float model, by op, config and calibration size.

    An op's weight depends on its own float inputs and not on what other ops run, so that a search
    which changes one op quantizes one weight.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, OpConfig, int], QuantizedWeight] = {}

    def choose(
        self,
        wanted: Mapping[str, OpConfig],
        weights: Mapping[str, Tensor],
        calibration: Calibration,
        observe: Observe,
    ) -> Chosen:
        """Return the quantized weight of each op.

        Args:
            wanted: Weight-only configs by op name.
            weights: Float weights ``(N, K)`` by op name.
            calibration: Says how many samples there are.
            observe: Called once if the inputs of some op must be seen.

        Raises:
            CalibrationError: If inputs are needed and there are none, or they are not finite.
            QuantizationError: If a weight cannot be quantized.
        """
        keys = {name: _key(name, config, calibration) for name, config in wanted.items()}
        missing = {name: key for name, key in keys.items() if key not in self._found}

        def quantize(name: str, statistics: InputStatistics | None) -> None:
            spec = wanted[name].weight
            assert spec is not None  # every weight-only config has one
            self._found[missing[name]] = quantize_weight(weights[name], spec, statistics)

        seeing = tuple(name for name in missing if wanted[name].reads_inputs)
        for name in missing.keys() - set(seeing):
            quantize(name, None)
        if seeing:
            observe(seeing, quantize)
        return {name: self._found[key] for name, key in keys.items()}


def _key(name: str, config: OpConfig, calibration: Calibration) -> tuple[str, OpConfig, int]:
    return name, config, calibration.samples if config.reads_inputs else 0
