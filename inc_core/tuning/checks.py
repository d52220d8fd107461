"""What users' metrics and functions return, checked: one finite number, or one score per sample."""

from __future__ import annotations

import math
import numbers
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inc_core.errors import EvaluationError

__all__ = ["Scores", "checked_accuracy", "checked_scores"]

Scores: TypeAlias = npt.NDArray[np.float64]


def checked_accuracy(
    value: Any, source: str = "the evaluation", possible: tuple[float, float] | None = None
) -> float:
    """Return ``value`` as a float, or say what is wrong with it.

    Python and numpy numbers are taken, and arrays or tensors of shape ``()``.

    Args:
        value: What was returned.
        source: By what, for the message.
        possible: Least and largest value there can be, if that is known.

    Raises:
        EvaluationError: If it is ``None``, no single number, NaN, infinite or out of range.
    """
    if value is None:
        raise EvaluationError(f"{source} returned None. Does it end without a return statement?")
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise EvaluationError(
            f"{source} returned {_shown(value)} of type {type(value).__name__}; "
            "one number is needed. Return the accuracy alone, such as results[0] or their mean."
        )
    if not math.isfinite(value):
        raise EvaluationError(f"{source} returned {float(value)!r}, which is no accuracy")
    if possible is not None and not possible[0] <= float(value) <= possible[1]:
        raise EvaluationError(
            f"{source} returned {float(value)!r}, outside of its result_range "
            f"[{possible[0]:g}, {possible[1]:g}]"
        )
    return float(value)


def checked_scores(found: Any, size: int, source: str) -> Scores:
    """Return per-sample scores as float64 ``(size,)``.

    Raises:
        EvaluationError: If they are not one number for each of ``size`` samples.
    """
    try:
        scores = np.asarray(found, np.float64)
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"{source} returned {_shown(found)}, no array of numbers") from error
    if scores.shape != (size,):
        raise EvaluationError(
            f"{source} returned an array of shape {scores.shape} for {size} samples; one score for "
            f"each is needed, shape ({size},)"
        )
    return scores


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
