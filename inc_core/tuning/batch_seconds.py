"""How long the predictions of one evaluation took: a latency that costs nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

__all__ = ["BatchSeconds"]

# Fewer say less than a few runs of one batch, which take no longer.
LEAST_BATCHES = 5


class BatchSeconds:
    """Seconds of predictions, by the shapes of their inputs.

    The first prediction of an evaluation, which may have prepared something, does not count.
    """

    def __init__(self) -> None:
        self._seconds: dict[Any, list[float]] = {}
        self._started = False

    def add(self, inputs: Any, seconds: float) -> None:
        """Note how long the prediction of a batch took."""
        if self._started:
            self._seconds.setdefault(_shapes(inputs), []).append(seconds)
        self._started = True

    def median(self, inputs: Any) -> float | None:
        """Return the median seconds of batches that have the shapes of ``inputs``; ``None`` of few."""
        found = self._seconds.get(_shapes(inputs), ())
        return statistics.median(found) if len(found) >= LEAST_BATCHES else None


def _shapes(inputs: Any) -> Any:
    """Return the shapes in a nest of arrays, hashable."""
    if isinstance(inputs, Mapping):
        return tuple((name, _shapes(value)) for name, value in inputs.items())
    if isinstance(inputs, tuple | list):
        return tuple(map(_shapes, inputs))
    return getattr(inputs, "shape", None)
