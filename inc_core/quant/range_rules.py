"""How a range is chosen from a tensor's statistics: minmax, percentile, mse, kl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from inc_core.errors import CalibrationError
from inc_core.quant.observers import BINS, Histogram, TensorStatistics
from inc_core.quant.spec import TensorSpec

__all__ = ["BUILTIN_RANGE_RULES", "KL", "MSE", "ChoosesRange", "MinMax", "Percentile"]

Array = np.ndarray[Any, Any]

# Clipping thresholds that are compared, evenly spaced; the optimum is flat, finer steps gain nothing.
CANDIDATES = 128
# Below a tenth of the largest magnitude a threshold has never been the optimum on real activations.
SMALLEST_SHARE = 0.1


class ChoosesRange(Protocol):
    """What calibration needs of a range rule; ``hookspecs.observer`` has the contract in full."""

    needs_values: bool

    def choose_range(self, statistics: TensorStatistics, spec: TensorSpec) -> tuple[Any, Any]:
        """Return the lower and upper bound."""


class MinMax:
    """Everything that was seen: nothing is clipped."""

    needs_values = False

    def choose_range(self, statistics: TensorStatistics, spec: TensorSpec) -> tuple[float, float]:
        """Return the observed range."""
        return statistics.lo, statistics.hi


class Percentile:
    """The central share of all values.

    Args:
        percentile: The share that is kept, in percent, in (0, 100]. The default cuts single
            outliers; 99.9 would cut a thousandth of the signal, and small nets feel that.
    """

    needs_values = True

    def __init__(self, percentile: float = 99.99) -> None:
        if not 0 < percentile <= 100:
            raise CalibrationError(f"percentile must be in (0, 100], received {percentile!r}")
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
        """Return the best clipping of the observed range; each end has its own if ``spec`` is asym."""
        histogram = _histogram_of(statistics)

        def best(lo: Array, hi: Array) -> tuple[float, float]:
            index = int(np.argmin(_squared_errors(histogram, lo, hi, spec)))
            return float(lo[index]), float(hi[index])

        lo, hi = best(*_candidates(statistics))
        if spec.scheme == "asym" and lo < 0 < hi:
            shares = _shares()
            lo, hi = best(shares * statistics.lo, np.full(CANDIDATES, hi))
            lo, hi = best(np.full(CANDIDATES, lo), shares * statistics.hi)
        return lo, hi


class KL:
    """The range whose quantized distribution is closest to the real one.

    Source: Migacz 2017, "8-bit inference with TensorRT" (GTC): least Kullback-Leibler divergence.
    """

    needs_values = True

    def choose_range(self, statistics: TensorStatistics, spec: TensorSpec) -> tuple[float, float]:
        """Return the best of ``CANDIDATES`` symmetric clippings of the observed range."""
        counts = _without_zeros(_histogram_of(statistics))
        lo, hi = _candidates(statistics)
        covered = zip(*_covered(lo, hi, spec), strict=True)
        width, levels = _histogram_of(statistics).width, spec.qmax - spec.qmin + 1
        divergences = [_divergence(counts, a / width, b / width, levels) for a, b in covered]
        best = int(np.argmin(divergences))
        return float(lo[best]), float(hi[best])


BUILTIN_RANGE_RULES: Mapping[str, ChoosesRange] = {
    "minmax": MinMax(),
    "percentile": Percentile(),
    "mse": MSE(),
    "kl": KL(),
}


def _histogram_of(statistics: TensorStatistics) -> Histogram:
    if statistics.histogram is None or statistics.histogram.counts.sum() == 0:
        raise CalibrationError("this algorithm needs a histogram, but only ranges were collected")
    return statistics.histogram


def _shares() -> Array:
    return np.linspace(1.0, SMALLEST_SHARE, CANDIDATES)


def _candidates(statistics: TensorStatistics) -> tuple[Array, Array]:
    """Return lower and upper bounds; the first pair is the whole range."""
    thresholds = _shares() * max(-statistics.lo, statistics.hi)
    lo, hi = np.full(CANDIDATES, statistics.lo), np.full(CANDIDATES, statistics.hi)
    return np.clip(lo, -thresholds, thresholds), np.clip(hi, -thresholds, thresholds)


def _covered(lo: Array, hi: Array, spec: TensorSpec) -> tuple[Array, Array]:
    """Return what the integers reach when ``[lo, hi]`` is asked for; see ``choose_qparams``."""
    if spec.scheme == "sym" and (spec.qmin < 0 or lo[0] < 0):
        scale = np.maximum(-lo, hi) / ((spec.qmax - spec.qmin) // 2)
        below = (spec.qmax - spec.qmin + 1) // 2
        return -below * scale, (below - 1) * scale
    return np.minimum(lo, 0.0), np.maximum(hi, 0.0)


def _squared_errors(histogram: Histogram, lo: Array, hi: Array, spec: TensorSpec) -> Array:
    """Return the squared error of every candidate summed over the histogram, shape of ``lo``."""
    used = np.flatnonzero(histogram.counts)
    centers, counts = histogram.centers[used], histogram.counts[used].astype(np.float64)
    # zero has no error under any range, and a Relu gives little else
    centers[used == BINS] = 0.0
    lo, hi = (bound[:, None] for bound in _covered(lo, hi, spec))
    scale = np.maximum((hi - lo) / (spec.qmax - spec.qmin), np.finfo(np.float64).tiny)
    errors = np.clip(centers, lo, hi)
    errors /= scale
    np.rint(errors, out=errors)
    errors *= scale
    errors -= centers
    np.square(errors, out=errors)
    return np.asarray(errors @ counts)


def _without_zeros(histogram: Histogram) -> Array:
    """Return the counts with the bin of zero as high as its neighbours.

    Zero is exact under any range, but the many zeros of a Relu would be smeared over one level
    here, and finer levels seem better for that alone.
    """
    counts = histogram.counts.astype(np.float64)
    counts[BINS] = min(counts[BINS], max(counts[BINS - 1], counts[BINS + 1]))
    return counts


def _divergence(counts: Array, lo: float, hi: float, levels: int) -> float:
    """Return KL(real || quantized) for one range, given in bins."""
    first, last = int(np.floor(lo)) + BINS, int(np.ceil(hi)) + BINS
    first, last = max(first, 0), min(max(last, first + 1), 2 * BINS)
    inside = counts[first:last]
    real = inside.copy()
    real[0] += counts[:first].sum()
    real[-1] += counts[last:].sum()
    starts = (np.arange(min(levels, inside.size)) * inside.size) // min(levels, inside.size)
    sums = np.add.reduceat(inside, starts)
    filled = np.add.reduceat((inside > 0).astype(np.float64), starts)
    widths = np.diff(np.append(starts, inside.size))
    mean = np.repeat(sums / np.maximum(filled, 1.0), widths)
    quantized = np.where(inside > 0, mean, 0.0)
    seen = real > 0
    if not seen.any():
        return 0.0
    # mass that clipping moved onto an empty bin has no counterpart: count it as one value
    p = real[seen] / real.sum()
    q = np.maximum(quantized[seen], 1.0) / max(quantized.sum(), 1.0)
    return float(np.sum(p * np.log(p / q)))
