"""How a range is chosen from a tensor's statistics: minmax, percentile, mse, kl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from inc_core.errors import CalibrationError
from inc_core.quant.observers import BINS, Histogram, TensorStatistics
from inc_core.quant.spec import TensorSpec

__all__ = ["BUILTIN_RANGE_RULES", "KL", "MSE", "MinMax", "Percentile"]

Array = np.ndarray[Any, Any]

# Clipping thresholds that are compared, evenly spaced; the optimum is flat, finer steps gain nothing.
CANDIDATES = 128
# Below a tenth of the largest magnitude a threshold has never been the optimum on real activations.
SMALLEST_SHARE = 0.1


class MinMax:
    """Everything that was seen: nothing is clipped."""

    needs_values = False

    def choose_range(self, statistics: TensorStatistics, spec: TensorSpec) -> tuple[float, float]:
        """Return the observed range."""
        return statistics.lo, statistics.hi


class Percentile:
    """The central share of all values.

    Args:
        percentile: The share that is kept, in percent. 99.99 cuts single outliers, while 99.9
            cuts real signal on small models.
    """

    needs_values = True

    def __init__(self, percentile: float = 99.99) -> None:
        self.percentile = percentile

    def choose_range(self, statistics: TensorStatistics, spec: TensorSpec) -> tuple[float, float]:
        """Return the quantiles; a side without values is not cut."""
        histogram = _histogram_of(statistics)
        cut = (1 - self.percentile / 100) / (2 if statistics.lo < 0 < statistics.hi else 1)
        cumulative = np.cumsum(histogram.counts) / histogram.counts.sum()
        edges = np.arange(-BINS, BINS + 1) * histogram.width
        lo, hi = statistics.lo, statistics.hi
        if lo < 0:
            lo = max(lo, float(edges[np.searchsorted(cumulative, cut, side="right")]))
        if hi > 0:
            hi = min(hi, float(edges[np.searchsorted(cumulative, 1 - cut) + 1]))
        return lo, hi


class MSE:
    """The range of least mean squared error, rounding and clipping together."""

    needs_values = True

    def choose_range(self, statistics: TensorStatistics, spec: TensorSpec) -> tuple[float, float]:
        """Return the best of ``CANDIDATES`` symmetric clippings of the observed range."""
        histogram = _histogram_of(statistics)
        lo, hi = _candidates(statistics)
        errors = _squared_errors(histogram, lo, hi, spec.qmax - spec.qmin)
        best = int(np.argmin(errors))
        return float(lo[best]), float(hi[best])


class KL:
    """The range whose quantized distribution is closest to the real one.

    Source: Migacz 2017, "8-bit inference with TensorRT" (GTC): least Kullback-Leibler divergence.
    """

    needs_values = True

    def choose_range(self, statistics: TensorStatistics, spec: TensorSpec) -> tuple[float, float]:
        """Return the best of ``CANDIDATES`` symmetric clippings of the observed range."""
        histogram = _histogram_of(statistics)
        lo, hi = _candidates(statistics)
        levels = spec.qmax - spec.qmin + 1
        divergences = [_divergence(histogram, a, b, levels) for a, b in zip(lo, hi, strict=True)]
        best = int(np.argmin(divergences))
        return float(lo[best]), float(hi[best])


BUILTIN_RANGE_RULES: Mapping[str, Any] = {
    "minmax": MinMax(),
    "percentile": Percentile(),
    "mse": MSE(),
    "kl": KL(),
}


class _Rule(Protocol):
    needs_values: bool


def _histogram_of(statistics: TensorStatistics) -> Histogram:
    if statistics.histogram is None or statistics.histogram.counts.sum() == 0:
        raise CalibrationError("this algorithm needs a histogram, but only ranges were collected")
    return statistics.histogram


def _candidates(statistics: TensorStatistics) -> tuple[Array, Array]:
    """Return lower and upper bounds; the first pair is the whole range."""
    largest = max(-statistics.lo, statistics.hi)
    thresholds = np.linspace(1.0, SMALLEST_SHARE, CANDIDATES) * largest
    return np.maximum(statistics.lo, -thresholds), np.minimum(statistics.hi, thresholds)


def _squared_errors(histogram: Histogram, lo: Array, hi: Array, steps: int) -> Array:
    """Return the expected squared error of every candidate, shape ``(CANDIDATES,)``."""
    used = np.flatnonzero(histogram.counts)
    centers, counts = histogram.centers[used], histogram.counts[used]
    lo, hi = np.minimum(lo, 0.0)[:, None], np.maximum(hi, 0.0)[:, None]
    scale = np.maximum((hi - lo) / steps, np.finfo(np.float64).tiny)
    clipped = np.clip(centers, lo, hi)
    # a bin is wider or narrower than a step; spread values make the rounding error uniform
    rounding = np.where((centers >= lo) & (centers <= hi), scale**2 / 12, 0.0)
    return np.asarray((((centers - clipped) ** 2 + rounding) * counts).sum(axis=1))


def _divergence(histogram: Histogram, lo: float, hi: float, levels: int) -> float:
    """Return KL(real || quantized) for one range."""
    first = int(np.floor(lo / histogram.width)) + BINS
    last = int(np.ceil(hi / histogram.width)) + BINS
    first, last = max(first, 0), min(max(last, first + 1), 2 * BINS)
    inside = histogram.counts[first:last].astype(np.float64)
    real = inside.copy()
    real[0] += histogram.counts[:first].sum()
    real[-1] += histogram.counts[last:].sum()
    starts = (np.arange(min(levels, inside.size)) * inside.size) // min(levels, inside.size)
    sums = np.add.reduceat(inside, starts)
    filled = np.add.reduceat((inside > 0).astype(np.float64), starts)
    widths = np.diff(np.append(starts, inside.size))
    mean = np.repeat(sums / np.maximum(filled, 1.0), widths)
    quantized = np.where(inside > 0, mean, 0.0)
    total = real.sum()
    seen = real > 0
    # mass that clipping moved onto an empty bin has no counterpart: count it as one value
    p, q = real[seen] / total, np.maximum(quantized[seen], 1.0) / max(quantized.sum(), 1.0)
    return float(np.sum(p * np.log(p / q)))
