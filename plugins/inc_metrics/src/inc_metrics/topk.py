"""Top-k accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from inc_core.errors import ConfigError, EvaluationError
from inc_metrics.answers import whole_numbers
from inc_metrics.running_mean import RunningMean
from inc_metrics.shapes import Array, misfit, read_labels, read_predictions, squeeze_trailing

__all__ = ["TopK"]


class TopK:
    """The share of samples whose label is among the ``k`` largest scores.

    Of equal scores the lower class comes first, as with ``argmax``.

    Args:
        k: How many guesses a sample has, at least 1.

    Raises:
        ConfigError: If ``k`` is not a whole number above 0.

    Example:
        >>> metric = TopK(k=2)
        >>> metric.update([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [1, 0])
        >>> metric.result()
        0.5
    """

    higher_is_better = True

    def __init__(self, k: int = 1) -> None:
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ConfigError(f"topk: k must be a whole number > 0; received {k!r}")
        self.k = k
        self._hits = RunningMean()

    def reset(self) -> None:
        """Forget everything added."""
        self._hits = RunningMean()

    def scores(self, predictions: Any, labels: Any) -> Array:
        """Return 1 for each sample whose label is among the ``k`` largest scores, else 0.

        Args:
            predictions: As ``update``.
            labels: As ``update``.

        Raises:
            EvaluationError: As ``update``.
        """
        return self._hits_in(predictions, labels).astype(np.float64)

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch.

        Args:
            predictions: Scores, shape ``(batch, classes)``; ``(classes,)`` for a single sample.
            labels: Class ids, shape ``(batch,)`` or ``(batch, 1)``, or one-hot,
                ``(batch, classes)``.

        Raises:
            EvaluationError: If shapes do not fit, a label is no class, or ``k`` exceeds the classes.
        """
        hits = self._hits_in(predictions, labels)
        self._hits.add(np.count_nonzero(hits), len(hits))

    def merge(self, other: TopK) -> None:
        """Add what another instance was given."""
        self._hits.merge(other._hits)

    def result(self) -> float:
        """Return the share, from 0 to 1.

        Raises:
            EvaluationError: If no sample was added.
        """
        return self._hits.value("topk")

    def _hits_in(self, predictions: Any, labels: Any) -> Array:
        """Return which samples are hits, bool ``(N,)``."""
        scores, classes = _pair(read_predictions(predictions), read_labels(labels))
        count = scores.shape[1]
        if self.k > count:
            raise EvaluationError(
                f"topk: k={self.k}, but the model has {count} classes: every sample would be a hit."
            )
        outside = (classes < 0) | (classes >= count)
        if outside.any():
            raise EvaluationError(
                f"topk: label {int(classes[outside][0])} is none of the model's {count} classes "
                f"(0 to {count - 1}). Shift labels with the postprocess LabelShift if they count "
                "from another number."
            )
        hits: Array = _ranks(scores, classes) < self.k
        return hits


def _pair(predictions: Array, labels: Array) -> tuple[Array, Array]:
    """Return scores ``(N, C)`` and class ids ``(N,)``."""
    scores, truth = squeeze_trailing(predictions, keep=2), squeeze_trailing(labels)
    if scores.ndim == 1:
        truth = truth[np.newaxis] if truth.shape == scores.shape else truth
        scores = scores[np.newaxis]
    if scores.ndim == 2 and truth.shape == scores.shape:
        truth = _from_one_hot(truth)
    if scores.ndim != 2 or truth.shape != scores.shape[:1]:
        expected = "Give scores (batch, classes) with labels (batch,), or one-hot (batch, classes)."
        raise misfit("topk", predictions, labels, expected)
    return scores, whole_numbers(truth, "labels")


def _from_one_hot(labels: Array) -> Array:
    if ((labels != 0).sum(axis=1) != 1).any():
        raise EvaluationError(
            f"topk: labels of shape {labels.shape} are as many as the scores, so they must be "
            "one-hot, with one number that is not 0 per sample."
        )
    classes: Array = labels.argmax(axis=1)
    return classes


def _ranks(scores: Array, classes: Array) -> Array:
    """Return how many classes come before each sample's own, int64 of shape ``(N,)``."""
    rows, count = scores.shape
    own = scores[np.arange(rows), classes][:, np.newaxis]
    earlier = np.arange(count) < classes[:, np.newaxis]
    ranks: Array = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    return ranks
