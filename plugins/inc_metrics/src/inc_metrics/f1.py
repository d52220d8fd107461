"""F1: the harmonic mean of precision and recall."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from inc_core.errors import ConfigError, EvaluationError, did_you_mean
from inc_metrics.answers import Answers, read_answers
from inc_metrics.running_mean import require_samples
from inc_metrics.shapes import read_labels, read_predictions

__all__ = ["F1"]

AVERAGES = ("binary", "macro", "micro", "weighted")


class F1:
    """F1 over all samples together, ``2 tp / (2 tp + fp + fn)``; 0 where that is 0 / 0.

    Args:
        average: ``binary``: of class 1, the others being 0. ``macro``: mean over the classes that
            occur. ``micro``: from the counts of all classes together. ``weighted``: mean over the
            classes, weighted by how often each is true.

    Raises:
        ConfigError: If ``average`` is none of these.

    Example:
        >>> metric = F1(average="macro")
        >>> metric.update([[0.9, 0.1], [0.2, 0.8]], [0, 1])
        >>> metric.update([[0.6, 0.4]], [1])
        >>> round(metric.result(), 4)
        0.6667

    Source: van Rijsbergen 1979, *Information Retrieval*, chapter 7.
    """

    higher_is_better = True

    def __init__(self, average: str = "binary") -> None:
        if average not in AVERAGES:
            raise ConfigError(
                f"F1: average must be one of {', '.join(AVERAGES)}; received {average!r}."
                f"{did_you_mean(str(average), AVERAGES)}"
            )
        self.average = average
        self.reset()

    def reset(self) -> None:
        """Forget everything added."""
        self._hits: Counter[int] = Counter()
        self._predicted: Counter[int] = Counter()
        self._actual: Counter[int] = Counter()
        self._samples = 0

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch.

        Args:
            predictions: Scores ``(batch, classes, ...)``, or answers or probabilities of the
                labels' shape; ``read_answers`` has the whole table.
            labels: Class ids ``(batch, ...)``, or 0 and 1 of the predictions' shape.

        Raises:
            EvaluationError: If shapes or values do not fit, or ``average`` is ``binary`` and there
                are more classes than 0 and 1.
        """
        answers = read_answers("F1", read_predictions(predictions), read_labels(labels))
        if self.average == "binary":
            _require_binary(answers)
        for cls, hits, predicted, actual in _counts(answers):
            self._hits[cls] += hits
            self._predicted[cls] += predicted
            self._actual[cls] += actual
        self._samples += len(answers.actual)

    def merge(self, other: F1) -> None:
        """Add what another instance was given."""
        self._hits.update(other._hits)  # "+=" would drop classes that were counted 0 times
        self._predicted.update(other._predicted)
        self._actual.update(other._actual)
        self._samples += other._samples

    def result(self) -> float:
        """Return F1, from 0 to 1.

        Raises:
            EvaluationError: If no sample was added.
        """
        require_samples(self._samples, "F1")
        if self.average == "binary":
            return self._of(1)
        if self.average == "micro":
            total = self._predicted.total() + self._actual.total()
            return 2 * self._hits.total() / total if total else 0.0
        classes = sorted({*self._predicted, *self._actual})
        weights = [self._actual[c] if self.average == "weighted" else 1 for c in classes]
        weighted = sum(w * self._of(c) for w, c in zip(weights, classes, strict=True))
        return weighted / sum(weights) if sum(weights) else 0.0

    def _of(self, cls: int) -> float:
        total = self._predicted[cls] + self._actual[cls]
        return 2 * self._hits[cls] / total if total else 0.0


def _require_binary(answers: Answers) -> None:
    found = np.union1d(answers.predicted, answers.actual)
    if answers.multilabel or np.setdiff1d(found, (0, 1)).size:
        received = (
            f"{answers.actual.shape[1]} labels per sample"
            if answers.multilabel
            else f"classes {', '.join(map(str, found[:10]))}"
        )
        raise EvaluationError(
            f"F1: average='binary' takes the classes 0 and 1; received {received}. "
            "Set average to macro, micro or weighted."
        )


def _counts(answers: Answers) -> Iterator[tuple[int, int, int, int]]:
    """Yield each class, how often it is predicted rightly, predicted, and true."""
    predicted, actual = answers.predicted, answers.actual
    if answers.multilabel:
        said, true = predicted != 0, actual != 0
        classes = np.arange(actual.shape[1])
        columns = [found.sum(axis=0) for found in (said & true, said, true)]
    else:
        classes, numbers = np.unique(np.concatenate([predicted, actual]), return_inverse=True)
        said, true = np.split(numbers.reshape(-1), 2)
        found = (true[said == true], said, true)
        columns = [np.bincount(each, minlength=len(classes)) for each in found]
    yield from zip(*(each.tolist() for each in (classes, *columns)), strict=True)
