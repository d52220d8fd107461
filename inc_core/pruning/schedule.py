"""Schedules: how sparse the weights shall be at an epoch or at a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["DECAYS", "Schedule"]

# How fast the exponential one goes: after this many of its time constants the rest is negligible.
_EXP_RATE = 5.0

# From progress (0 to 1) to the share (0 to 1) of the way from the initial to the target sparsity.
DECAYS: Mapping[str, Callable[[float], float]] = {
    "linear": lambda progress: progress,
    # most is pruned early, while there is time to recover; Zhu and Gupta 2017 (arXiv:1710.01878)
    "cubic": lambda progress: 1 - (1 - progress) ** 3,
    "exp": lambda progress: (1 - math.exp(-_EXP_RATE * progress)) / (1 - math.exp(-_EXP_RATE)),
    "cos": lambda progress: (1 - math.cos(math.pi * progress)) / 2,
    "oneshot": lambda progress: 1.0,
}


@dataclass(frozen=True)
class Schedule:
    """From ``initial`` at ``start`` to ``target`` at ``end``, both included, counted from 0.

    Between two updates, ``frequency`` apart, the sparsity is held.
    """

    initial: float
    target: float
    start: int
    end: int
    frequency: int = 1
    decay: str = "linear"

    def sparsity(self, time: int) -> float | None:
        """Return the share of zeros at an epoch or step; ``None`` before the start."""
        if time < self.start:
            return None
        if time >= self.end:
            return self.target
        held = (time - self.start) // self.frequency * self.frequency
        share = DECAYS[self.decay](held / (self.end - self.start))
        return self.initial + (self.target - self.initial) * share
