"""Calibration statistics as bytes and back, exactly: what a cache keeps of a calibration pass."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from inc_core.quant.observers import Array, Histogram, TensorStatistics
from inc_core.quant.spec import TensorKey

__all__ = ["Snapshot", "pack_snapshots", "unpack_snapshots"]

_CHANNELS = ("channel_lo", "channel_hi", "channel_mean")


class Snapshot(NamedTuple):
    """The statistics of every tensor after some samples.

    Attributes:
        samples: How many samples were seen.
        statistics: By tensor; those that saw nothing are missing.
    """

    samples: int
    statistics: Mapping[TensorKey, TensorStatistics]


def pack_snapshots(snapshots: Mapping[int, Snapshot]) -> bytes:
    """Return snapshots by planned size as one line of JSON and the bytes of all arrays."""
    arrays: list[Array] = []
    sizes = [
        [size, found.samples, [_row(k, s, arrays) for k, s in found.statistics.items()]]
        for size, found in snapshots.items()
    ]
    layout = [[array.dtype.str, array.size] for array in arrays]
    head = json.dumps({"sizes": sizes, "arrays": layout}, separators=(",", ":"), allow_nan=False)
    return head.encode() + b"\n" + b"".join(array.tobytes() for array in arrays)


def unpack_snapshots(content: bytes) -> dict[int, Snapshot]:
    """Inverse of ``pack_snapshots``.

    Raises:
        ValueError, KeyError, TypeError: If the content is something else.
    """
    head, _, body = content.partition(b"\n")
    fields = json.loads(head)
    arrays = _arrays(fields["arrays"], body)
    return {
        size: Snapshot(samples, dict(_statistics(row, arrays) for row in rows))
        for size, samples, rows in fields["sizes"]
    }


def _row(key: TensorKey, statistics: TensorStatistics, arrays: list[Array]) -> list[Any]:
    histogram = statistics.histogram
    if histogram is not None:
        # counts of 64 bits are mostly zeros
        small = np.uint32 if histogram.counts.max(initial=0) < 1 << 32 else np.int64
        arrays.append(histogram.counts.astype(small))
    channels = [getattr(statistics, name) for name in _CHANNELS]
    has_channels = all(array is not None for array in channels)
    if has_channels:
        arrays += [np.ascontiguousarray(array) for array in channels]
    limit = None if histogram is None else histogram.limit
    return [*key, statistics.samples, statistics.lo, statistics.hi, limit, has_channels]


def _statistics(row: list[Any], arrays: Iterator[Array]) -> tuple[TensorKey, TensorStatistics]:
    *key, samples, lo, hi, limit, has_channels = row
    histogram = None if limit is None else Histogram(next(arrays).astype(np.int64), limit)
    found = TensorStatistics(samples, lo, hi, histogram)
    if has_channels:
        found = replace(
            found, channel_lo=next(arrays), channel_hi=next(arrays), channel_mean=next(arrays)
        )
    return TensorKey(*key), found


def _arrays(layout: list[Any], body: bytes) -> Iterator[Array]:
    start = 0
    for dtype, size in layout:
        array = np.frombuffer(body, dtype, size, start)
        start += array.nbytes
        yield array.copy()  # writable, and not holding all of the content
