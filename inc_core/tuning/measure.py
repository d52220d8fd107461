"""What objectives can ask of a model: its outputs, its size on disk, its latency."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inc_core.hookspecs.adaptor import Adaptor
from inc_core.tuning.batch_seconds import BatchSeconds

__all__ = ["ObjectiveRun", "size_on_disk"]

# A trial's latency only ranks trials; finalists are compared interleaved (speed.py), if they are within
# 15 % of each other. More runs would say little more; three are the least that have a median, and
# enough where each is long.
LATENCY_SECONDS = 0.1
MIN_RUNS = 3
MAX_RUNS = 7


class ObjectiveRun:
    """One model of a trial, as ``Objective.measure`` sees it.

    Args:
        adaptor: What runs and saves the model.
        model: The native model.
        inputs: The batch that ``predict`` runs.
        accuracy: The model's accuracy, where it is known.
        timed: How long predictions of its evaluation took, where they were timed.
        clock: Seconds.
    """

    def __init__(
        self,
        adaptor: Adaptor,
        model: Any,
        inputs: Any,
        accuracy: float | None = None,
        timed: BatchSeconds | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.accuracy = accuracy
        self.evaluated_seconds = None if timed is None else timed.median(inputs)
        self._adaptor = adaptor
        self._model = model
        self._inputs = inputs
        self._clock = clock

    def predict(self) -> Any:
        """Run one batch and return its outputs."""
        return self._adaptor.predict(self._model, self._inputs)

    def size_bytes(self) -> int:
        """Return the size of the saved model."""
        return size_on_disk(self._adaptor, self._model)

    def latency_seconds(self) -> float:
        """Return the median time of one batch, after one run to warm up; within 0.1 s, or four runs."""
        self.predict()
        start = now = self._clock()
        runs: list[float] = []
        while len(runs) < MIN_RUNS or (len(runs) < MAX_RUNS and now - start < LATENCY_SECONDS):
            before = now
            self.predict()
            now = self._clock()
            runs.append(now - before)
        return statistics.median(runs)


def size_on_disk(adaptor: Adaptor, model: Any) -> int:
    """Return how many bytes ``adaptor.save`` writes for a model."""
    with tempfile.TemporaryDirectory() as folder:
        adaptor.save(model, Path(folder))
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
