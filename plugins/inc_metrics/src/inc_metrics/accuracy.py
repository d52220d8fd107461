"""Accuracy: the share of right answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from inc_metrics.answers import read_answers
from inc_metrics.running_mean import RunningMean
from inc_metrics.shapes import Array, read_labels, read_predictions

__all__ = ["Accuracy"]


class Accuracy:
    """The share of right answers: binary, multiclass or multilabel, by shape.

    Multilabel answers must match in every label of a sample.

    Example:
        >>> metric = Accuracy()
        >>> metric.update([[0.9, 0.1], [0.2, 0.8]], [0, 0])  # multiclass: scores and class ids
        >>> metric.result()
        0.5
        >>> metric.reset()
        >>> metric.update([0.9, 0.2], [1, 0])  # binary: probabilities
        >>> metric.result()
        1.0
        >>> metric.reset()
        >>> metric.update([[0.9, 0.8], [0.9, 0.8]], [[1, 1], [1, 0]])  # multilabel
        >>> metric.result()
        0.5
    """

    higher_is_better = True

    def __init__(self) -> None:
        self._right = RunningMean()

    def reset(self) -> None:
        """Forget everything added."""
        self._right = RunningMean()

    def scores(self, predictions: Any, labels: Any) -> Array | None:
        """Return 1 for each sample that is right, else 0; ``None`` where samples hold many answers.

        Args:
            predictions: As ``update``.
            labels: As ``update``.

        Raises:
            EvaluationError: As ``update``.
        """
        right = _right(predictions, labels)
        # pixels or tokens are as many per sample as it happens, so samples do not weigh the same
        return right.astype(np.float64) if right.size == len(read_labels(labels)) else None

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch.

        Args:
            predictions: Scores ``(batch, classes, ...)``, or answers or probabilities of the
                labels' shape; ``read_answers`` has the whole table.
            labels: Class ids ``(batch, ...)``, or 0 and 1 of the predictions' shape.

        Raises:
            EvaluationError: If shapes or values do not fit.
        """
        right = _right(predictions, labels)
        self._right.add(np.count_nonzero(right), right.size)

    def merge(self, other: Accuracy) -> None:
        """Add what another instance was given."""
        self._right.merge(other._right)

    def result(self) -> float:
        """Return the share, from 0 to 1.

        Raises:
            EvaluationError: If no sample was added.
        """
        return self._right.value("Accuracy")


def _right(predictions: Any, labels: Any) -> Array:
    """Return which answers are right, bool ``(M,)``."""
    answers = read_answers("Accuracy", read_predictions(predictions), read_labels(labels))
    right: Array = answers.predicted == answers.actual
    return right.all(axis=1) if answers.multilabel else right
