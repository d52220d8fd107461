"""Turn scores and labels into answers that can be compared: class ids, or sets of labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from inc_core.errors import EvaluationError
from inc_metrics.shapes import Array, misfit, squeeze_trailing

__all__ = ["Answers", "read_answers", "whole_numbers"]

_FITTING = (
    "Give scores (batch, classes) with class ids (batch,), or answers and labels of equal shape."
)


class Answers(NamedTuple):
    """What a model said and what is true.

    Attributes:
        predicted: Integers, shape ``(M,)`` of class ids, or ``(M, labels)`` of 0 and 1.
        actual: The same of the labels.
        multilabel: Whether it is the second.
    """

    predicted: Array
    actual: Array
    multilabel: bool


def read_answers(metric: str, predictions: Array, labels: Array) -> Answers:
    """Decide by shape what a batch is, and turn scores into answers.

    ==================================== ============================ ===========================
    predictions                          labels                       answers
    ==================================== ============================ ===========================
    scores ``(N, C, ...)`` or            class ids ``(N, ...)``       multiclass: largest score,
    ``(N, ..., C)``                                                   the lowest class on a tie
    ``(N,)`` or ``(N, 1)``               ``(N,)`` or ``(N, 1)``       binary, or class ids
    ``(N, C, ...)``                      the same shape               multilabel, one set per
                                                                      sample and position
    ==================================== ============================ ===========================

    In the last two, whole numbers are answers as they are, and numbers between 0 and 1 are
    probabilities: above 0.5 is 1.

    Args:
        metric: Whose answers, for messages.
        predictions: Numbers, the batch first.
        labels: Numbers, the batch first.

    Raises:
        EvaluationError: If shapes or values do not fit.
    """
    scores, truth = squeeze_trailing(predictions), squeeze_trailing(labels)
    actual = whole_numbers(truth, "labels")
    if scores.shape == truth.shape:
        predicted = _decide(metric, scores)
        if scores.ndim == 1:
            return Answers(predicted, actual, False)
        return Answers(_classes_last(predicted), _classes_last(actual), True)
    axis = _class_axis(scores.shape, truth.shape)
    if axis is None:
        raise misfit(metric, predictions, labels, _FITTING)
    return Answers(scores.argmax(axis=axis).reshape(-1), actual.reshape(-1), False)


def whole_numbers(values: Array, what: str) -> Array:
    """Return ``values`` as int64.

    Raises:
        EvaluationError: If one is not a whole number.
    """
    whole = values.astype(np.int64) if np.isfinite(values).all() else None
    if whole is None or (whole != values).any():
        raise EvaluationError(
            f"{what} are class ids, and these are no whole numbers: {_first_broken(values)!r} "
            "is among them. Convert them with a transform."
        )
    return whole


def _class_axis(scores: tuple[int, ...], labels: tuple[int, ...]) -> int | None:
    # the second axis first: images are (batch, classes, height, width) nearly everywhere
    if len(scores) == len(labels) + 1:
        for axis in (1, len(scores) - 1):
            if scores[:axis] + scores[axis + 1 :] == labels:
                return axis
    return None


def _decide(metric: str, scores: Array) -> Array:
    """Return answers as they are, and probabilities as 0 or 1; logits cannot be told from ids."""
    if scores.dtype.kind in "biu":
        return scores.astype(np.int64)
    answers = np.floor(scores)
    open_ones = answers != scores
    outside = open_ones & ~((scores > 0) & (scores < 1)) | np.isinf(scores)
    if outside.any():
        raise EvaluationError(
            f"{metric}: predictions of the labels' shape {scores.shape} must be answers or "
            f"probabilities; received {float(scores[outside][0])!r}. Turn logits into probabilities "
            "with a postprocess; for one-hot labels use topk."
        )
    return np.where(open_ones, scores > 0.5, answers).astype(np.int64)


def _classes_last(answers: Array) -> Array:
    """Return ``(N, C, ...)`` as ``(N * ..., C)``."""
    return np.moveaxis(answers, 1, -1).reshape(-1, answers.shape[1])


def _first_broken(values: Array) -> float:
    broken = ~np.isfinite(values) | (np.floor(values) != values)
    return float(values[broken][0])
