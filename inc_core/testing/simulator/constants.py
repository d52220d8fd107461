"""``Constants``: the numbers of a simulated model, its data and its measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Constants"]


@dataclass(frozen=True)
class Constants:
    """What does not belong to a family of damages.

    Attributes:
        accuracy: Of the float model.
        tolerance: Accepted relative loss.
        samples: Size of the evaluation set; each recipe deviates on it by chance.
        churn: Share of samples whose answer changes, for better or worse, when all is quantized.
        damage_sigma: Spread of the ops' damages, of the logarithm.
        gain_sigma: Spread of the ops' possible savings, of the logarithm.
        correlation: Between the logarithms of damage and saving.
        sensitivity_noise: Of the logarithm of each op's measured sensitivity; the ``tau`` of the design.
        latency_noise: Relative, of each measured latency.
        divergence_noise: Of the logarithm of a divergence on 2 % of the data.
        sensitivity: ``"sweep"`` costs 0.02 sqrt(N) units (a gradient), ``"probes"`` 64 samples per
            op and choice, ``"none"`` says that nothing can be measured.
        timer: Whether latencies can be measured.
    """

    accuracy: float = 0.76
    tolerance: float = 0.01
    samples: int = 10_000
    churn: float = 0.02
    damage_sigma: float = 1.2
    gain_sigma: float = 1.0
    correlation: float = 0.0
    sensitivity_noise: float = 0.7
    latency_noise: float = 0.05
    divergence_noise: float = 0.35
    sensitivity: Literal["sweep", "probes", "none"] = "sweep"
    timer: bool = True
