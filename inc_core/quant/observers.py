"""What is kept of one tensor during calibration: ranges and a histogram, never values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inc_core.errors import CalibrationError

__all__ = [
    "MAX_ELEMENTS_PER_SAMPLE",
    "Histogram",
    "Observer",
    "TensorStatistics",
    "elements_per_sample",
    "sampling_stride",
]

Array = np.ndarray[Any, Any]

# Bins on each side of zero: 8 per level of an 8-bit tensor, 32 KB per tensor.
BINS = 2048

# Elements of one sample that enter the histogram, at most. Ranges stay exact.
MAX_ELEMENTS_PER_SAMPLE = 1 << 15
# Of more samples fewer elements of each are enough. With two million in all the rule ``mse`` chooses as well
# as with every value: small MobileNets and 256 samples have the same error of the outputs within 2 %; with a
# million it is 4 % larger.
ELEMENTS = 1 << 21
MIN_ELEMENTS_PER_SAMPLE = 1 << 10

# Largest finite float32.
LARGEST = float(np.finfo(np.float32).max)

# Smallest histogram limit: 1 / width is still a float32. Doubling from here reaches any float32 in 230
# steps.
MIN_LIMIT = 2.0**-100


@dataclass(frozen=True)
class Histogram:
    """Counts over ``[-limit, limit)`` in ``2 * BINS`` equal bins; ``limit`` is a power of two."""

    counts: Array
    limit: float

    @property
    def width(self) -> float:
        """Width of one bin."""
        return self.limit / BINS

    @property
    def centers(self) -> Array:
        """Middle of each bin, float64, ascending."""
        return (np.arange(-BINS, BINS) + 0.5) * self.width

    def grown(self, limit: float) -> Histogram:
        """Return the same counts over a range that covers ``limit``: bins merge in pairs."""
        counts, current = self.counts, self.limit
        if current < limit and not counts.any():  # one step in place of a hundred
            fraction, exponent = np.frexp(limit)
            current = float(np.ldexp(1.0, exponent - (fraction == 0.5)))
        while current < limit:
            halved = counts.reshape(-1, 2).sum(axis=1)
            counts = np.zeros_like(counts)
            counts[BINS // 2 : BINS // 2 + BINS] = halved
            current *= 2
        return Histogram(counts, current)

    def added(self, values: Array) -> Histogram:
        """Return the histogram with more values; ``values`` is flat float32 and finite."""
        if values.size == 0:
            return self
        largest = float(max(values.max(), -values.min()))
        # the upper edge is open, so a value on it needs the next power of two
        grown = self.grown(np.nextafter(largest, np.inf))
        # exact, for the width is a power of two; but where that divides, a tiny negative float32 would
        # underflow to 0, which is another bin
        dtype = np.float32 if grown.width <= 1 else np.float64
        bins = np.multiply(values, dtype(1 / grown.width), dtype=dtype)
        np.floor(bins, out=bins)
        bins += BINS
        counts = np.bincount(bins.astype(np.intp), minlength=2 * BINS)
        return replace(grown, counts=grown.counts + counts)


@dataclass(frozen=True)
class TensorStatistics:
    """What calibration knows of one tensor.

    Attributes:
        samples: How many samples it saw.
        lo: Smallest value.
        hi: Largest value.
        histogram: Distribution of the values; ``None`` if only ranges were wanted.
        channel_lo: Smallest value per channel, shape ``(C,)``; ``None`` if not wanted.
        channel_hi: Largest value per channel.
        channel_mean: Mean per channel.
        unscaled: What was really observed, if these are derived from it by ``scaled``.
    """

    samples: int
    lo: float
    hi: float
    histogram: Histogram | None = None
    channel_lo: Array | None = None
    channel_hi: Array | None = None
    channel_mean: Array | None = None
    unscaled: TensorStatistics | None = None

    def scaled(self, factors: Array) -> TensorStatistics:
        """Return the statistics of the same tensor with each channel divided by a factor.

        Ranges and means are exact. A distribution over all channels cannot be rescaled, so a
        range rule that needs one is asked on ``unscaled`` (see ``Calibration``).

        Args:
            factors: Positive, shape ``(C,)``.

        Raises:
            CalibrationError: If no statistics per channel were collected.
        """
        if self.channel_lo is None or self.channel_hi is None or self.channel_mean is None:
            raise CalibrationError("statistics per channel are needed to rescale a tensor")
        lo, hi = self.channel_lo / factors, self.channel_hi / factors
        mean = (self.channel_mean / factors).astype(np.float32)
        samples, unscaled = self.samples, self.unscaled or self
        return TensorStatistics(
            samples, float(lo.min()), float(hi.max()), None, lo, hi, mean, unscaled
        )


class Observer:
    """Collects the statistics of one tensor.

    Args:
        needs_values: A histogram is wanted, so whole tensors must be given to ``update``.
        needs_channels: Ranges and means per channel are wanted.
        channel_axis: Dimension of the channels.
        name: Of the tensor, for error messages.
        max_elements: How many elements of each sample enter the histogram, about and at most.
    """

    def __init__(
        self,
        *,
        needs_values: bool = False,
        needs_channels: bool = False,
        channel_axis: int = 1,
        name: str = "?",
        max_elements: int = MAX_ELEMENTS_PER_SAMPLE,
    ) -> None:
        self.name = name
        self.max_elements = max_elements
        self.needs_values = needs_values
        self.needs_channels = needs_channels
        self.channel_axis = channel_axis
        self._samples = 0
        self._lo, self._hi = np.inf, -np.inf
        self._histogram = Histogram(np.zeros(2 * BINS, np.int64), MIN_LIMIT)
        self._channels: tuple[Array, Array, Array] | None = None
        self._channel_count = 0

    @property
    def samples(self) -> int:
        """How many samples it was given."""
        return self._samples

    def update(self, array: Array) -> None:
        """Add one batch of the tensor: float, samples in the first dimension.

        Raises:
            CalibrationError: If it holds NaN or infinite values.
        """
        if array.size == 0:
            return
        samples = array.shape[0] if array.ndim else 1
        self._add_range(float(array.min()), float(array.max()), samples)
        if self.needs_values:
            flat = np.ascontiguousarray(array, np.float32).reshape(-1)
            stride = sampling_stride(flat.size, self.max_elements * samples)
            self._histogram = self._histogram.added(np.ascontiguousarray(flat[::stride]))
        if self.needs_channels and array.ndim > 1:
            axis = self.channel_axis % array.ndim
            others = tuple(dim for dim in range(array.ndim) if dim != axis)
            total = array.sum(axis=others, dtype=np.float64)
            count = array.size // array.shape[axis]
            self._add_channels(array.min(axis=others), array.max(axis=others), total, count)

    def update_reduced(
        self,
        lo: float,
        hi: float,
        samples: int,
        channel_lo: Array | None = None,
        channel_hi: Array | None = None,
        channel_sum: Array | None = None,
        channel_count: int = 0,
        values: Array | None = None,
    ) -> None:
        """Add one batch that the framework has reduced already.

        Args:
            lo: Smallest value of the batch.
            hi: Largest value of the batch.
            samples: Samples in the batch.
            channel_lo: Smallest value per channel, shape ``(C,)``.
            channel_hi: Largest value per channel.
            channel_sum: Sum per channel.
            channel_count: How many values each of ``channel_sum`` adds up.
            values: A fair part of the batch's values, flat float32, all between ``lo`` and ``hi``; must
                be given where ``needs_values`` is true.

        Raises:
            CalibrationError: If a bound is NaN or infinite.
        """
        self._add_range(lo, hi, samples)
        if self.needs_values and values is not None:
            self._histogram = self._histogram.added(values)
        if channel_lo is not None and channel_hi is not None and channel_sum is not None:
            self._add_channels(channel_lo, channel_hi, channel_sum, channel_count)

    def statistics(self) -> TensorStatistics:
        """Return what was collected so far; later updates do not change it.

        Raises:
            CalibrationError: If nothing was collected.
        """
        if self._samples == 0:
            raise CalibrationError(f"tensor {self.name!r}: no value was observed")
        channels: tuple[Array | None, Array | None, Array | None] = (None, None, None)
        if self._channels is not None:
            lo, hi, total = self._channels
            channels = (lo, hi, (total / self._channel_count).astype(np.float32))
        return TensorStatistics(
            self._samples,
            self._lo,
            self._hi,
            self._histogram if self.needs_values else None,
            *channels,
        )

    def _add_range(self, lo: float, hi: float, samples: int) -> None:
        # NaN fails every comparison; what float32 cannot hold is infinite for kernels
        if not (lo >= -LARGEST and hi <= LARGEST):
            raise CalibrationError(
                f"tensor {self.name!r} holds NaN or infinite values (range [{lo}, {hi}]) on the "
                "calibration data. Check the data and its transforms, and run the float model on them."
            )
        self._lo, self._hi = min(self._lo, float(lo)), max(self._hi, float(hi))
        self._samples += samples

    def _add_channels(self, lo: Array, hi: Array, total: Array, count: int) -> None:
        if self._channels is None:
            self._channels = (lo, hi, np.asarray(total, np.float64))
        else:
            known_lo, known_hi, known = self._channels
            self._channels = (np.minimum(known_lo, lo), np.maximum(known_hi, hi), known + total)
        self._channel_count += count


def elements_per_sample(samples: int) -> int:
    """Return how many elements of each sample are enough for a histogram over so many samples."""
    return min(max(ELEMENTS // max(samples, 1), MIN_ELEMENTS_PER_SAMPLE), MAX_ELEMENTS_PER_SAMPLE)


def sampling_stride(size: int, limit: int) -> int:
    """Return the smallest step that keeps at most ``limit`` of ``size`` elements.

    It shares no factor with any dimension, so it visits all channels and positions alike.
    """
    stride = -(-size // limit)
    while math.gcd(stride, size) > 1:
        stride += 1
    return stride
