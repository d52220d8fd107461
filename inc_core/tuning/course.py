"""One evaluation on its way: the metric is fed, scores are kept, the gate is asked."""

from __future__ import annotations

from typing import Any

import numpy as np

from inc_core.tuning.checks import Scores, checked_accuracy, checked_scores
from inc_core.tuning.sequential import Gate, Screening

__all__ = ["Course"]


class Course:
    """Gives each batch to a fresh metric, and says when the goal is out of reach.

    Args:
        metric: What has seen nothing yet.
        gate: The goal; ``None`` evaluates to the end in any case.
    """

    def __init__(self, metric: Any, gate: Gate | None) -> None:
        self.samples = 0
        self._metric = metric
        self._gate = gate
        scores = getattr(metric, "scores", None)
        self._score = scores if callable(scores) else None
        self._scores: list[Scores] = []
        by_scores = gate is not None and self._score is not None and gate.scores is not None
        self._screening: Screening | None = gate.start() if gate and by_scores else None

    def update(self, pair: tuple[Any, Any], size: int) -> float | None:
        """Add a batch; return an estimate of the accuracy if the goal is out of reach."""
        found = None if self._score is None else self._score(*pair)
        self._metric.update(*pair)
        self.samples += size
        if found is None:  # this data has no scores, though other data might
            self._score = self._screening = None
            return self._out_of_bounds()
        scores = checked_scores(found, size, f"{type(self._metric).__name__}.scores()")
        self._scores.append(scores)
        if self._screening is None or self._screening.add(scores) != "fail":
            return None
        assert self._gate is not None  # it started the screening
        if self.samples >= self._gate.samples:
            return None  # all was seen: the metric's own result is no estimate
        return self._screening.estimate()

    def scores(self) -> Scores | None:
        """Return every sample's score; ``None`` if some are not known."""
        return None if self._score is None or not self._scores else np.concatenate(self._scores)

    def _out_of_bounds(self) -> float | None:
        gate, bounds = self._gate, getattr(self._metric, "bounds", None)
        if gate is None or not callable(bounds) or self.samples >= gate.samples:
            return None
        limits = [
            checked_accuracy(limit, f"{type(self._metric).__name__}.bounds()")
            for limit in bounds(gate.samples - self.samples)
        ]
        if any(map(gate.criterion.accepts, limits)):
            return None
        return checked_accuracy(self._metric.result(), f"{type(self._metric).__name__}.result()")
