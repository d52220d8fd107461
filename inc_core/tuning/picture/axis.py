"""Axes: from values to pixels, and round numbers to label them with."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Axis"]

MARGIN = 0.06  # of the span, at both ends, so that no point lies on the frame
LEAST_SPAN = 1e-9  # relative, of values that are all equal
ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)  # times a power of ten: steps that read well


@dataclass(frozen=True)
class Axis:
    """A linear axis.

    Attributes:
        lo: Value at ``start``.
        hi: Value at ``end``.
        start: Pixel of ``lo``.
        end: Pixel of ``hi``; below ``start`` where values grow upwards.
    """

    lo: float
    hi: float
    start: float
    end: float

    @classmethod
    def around(cls, values: list[float], start: float, end: float) -> Axis:
        """Return an axis with room around all values; around one alone it is a tenth of it."""
        lo, hi = min(values), max(values)
        if hi - lo <= LEAST_SPAN * max(abs(lo), abs(hi), LEAST_SPAN):
            room = 0.05 * abs(lo) or 0.5
            lo, hi = lo - room, hi + room
        room = MARGIN * (hi - lo)
        return cls(lo - room, hi + room, start, end)

    def at(self, value: float) -> float:
        """Return the pixel of a value; one beyond an end is drawn at that end."""
        share = (value - self.lo) / (self.hi - self.lo)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, about: int) -> list[tuple[float, str]]:
        """Return some ``about`` round values within the axis, with their labels."""
        rough = (self.hi - self.lo) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in ROUND if factor * power >= rough)
        # 2.5 and 0.25 need one decimal more than their power of ten says
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        if not math.isclose(step, round(step, decimals)):
            decimals += 1
        first, last = math.ceil(self.lo / step - 1e-9), math.floor(self.hi / step + 1e-9)
        return [(k * step, f"{k * step:.{decimals}f}") for k in range(first, last + 1)]
