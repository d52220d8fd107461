"""Read the arrays that models and loaders give, and check that they fit each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.errors import EvaluationError

__all__ = ["Array", "misfit", "read_labels", "read_predictions", "squeeze_trailing"]

Array = npt.NDArray[Any]


def read_predictions(predictions: Any) -> Array:
    """Return the model's one output as an array of numbers, the batch first.

    Args:
        predictions: An array, or a tuple or list with one array.

    Raises:
        EvaluationError: If there are several outputs, something else than numbers, or NaN.
    """
    if isinstance(predictions, tuple | list) and _arrays_in(predictions) > 1:
        shapes = ", ".join(str(np.shape(output)) for output in predictions)
        raise EvaluationError(
            f"the model gives {len(predictions)} outputs (shapes {shapes}), and the metric takes "
            "one. Choose it with a postprocess."
        )
    array = _read(predictions, "predictions")
    broken = np.count_nonzero(np.isnan(array))
    if broken:
        # argmax would take NaN for the largest, comparisons for the smallest
        raise EvaluationError(
            f"{broken} of {array.size} predictions are NaN: the model is numerically broken"
        )
    return array


def read_labels(labels: Any) -> Array:
    """Return the labels of one batch as an array of numbers, the batch first.

    Args:
        labels: An array, a tuple or list with one array, or a sequence of labels.

    Raises:
        EvaluationError: If they are not numbers.
    """
    return _read(labels, "labels")


def squeeze_trailing(array: Array, keep: int = 1) -> Array:
    """Drop trailing axes of size 1 but the first ``keep``: ``(N, C, 1, 1)`` becomes ``(N, C)``."""
    shape = array.shape
    while len(shape) > keep and shape[-1] == 1:
        shape = shape[:-1]
    return array.reshape(shape)


def misfit(metric: str, predictions: Array, labels: Array, expected: str) -> EvaluationError:
    """Return the error for shapes that do not fit; it names both.

    Args:
        metric: Whose error it is.
        predictions: As given.
        labels: As given.
        expected: Which shapes fit.
    """
    return EvaluationError(
        f"{metric}: predictions of shape {predictions.shape} and labels of shape {labels.shape} "
        f"do not fit. {expected}"
    )


def _arrays_in(values: tuple[Any, ...] | list[Any]) -> int:
    return sum(bool(getattr(value, "shape", ())) for value in values)


def _read(values: Any, what: str) -> Array:
    if isinstance(values, tuple | list) and len(values) == 1 and _arrays_in(values) == 1:
        values = values[0]
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        # ragged, or a framework's array that is on another device or recorded for gradients
        raise EvaluationError(
            f"{what} of type {type(values).__name__} cannot be read as an array: {error}. "
            "Convert them with a postprocess."
        ) from error
    if array.dtype.kind not in "biuf":
        raise EvaluationError(
            f"{what} of dtype {array.dtype} are no numbers; received {type(values).__name__}. "
            "Convert them with a postprocess."
        )
    return array.reshape(1) if array.ndim == 0 else array
