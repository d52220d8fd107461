"""Weights in few bits, everything else in float: RTN, GPTQ, AWQ, HQQ."""

from __future__ import annotations

from inc_torch.weight_only.algorithms import ALGORITHMS, quantize_weight
from inc_torch.weight_only.chosen import Chosen, ChosenWeights
from inc_torch.weight_only.grid import Grid, QuantizedWeight, choose_grid
from inc_torch.weight_only.statistics import InputStatistics, output_error

__all__ = [
    "ALGORITHMS",
    "Chosen",
    "ChosenWeights",
    "Grid",
    "InputStatistics",
    "QuantizedWeight",
    "choose_grid",
    "output_error",
    "quantize_weight",
]
