"""Errors of predicted numbers: MAE, MSE, RMSE."""

from __future__ import annotations

import abc
import math
from typing import Any

import numpy as np

from inc_core.errors import ConfigError
from inc_metrics.running_mean import RunningMean
from inc_metrics.shapes import Array, misfit, read_labels, read_predictions, squeeze_trailing

__all__ = ["MAE", "MSE", "RMSE"]


class _ElementMean(abc.ABC):
    """Mean over all elements of all samples of what ``_errors`` makes of a difference.

    Args:
        compare_label: Must be true. Old configurations may say false, for a comparison with the
            float model's predictions, which is not supported.
        score_range: Least and largest error of one sample; a model that is hopeless by these is
            rejected early. Larger errors count as the largest there, and fully in ``result``.

    Raises:
        ConfigError: If ``compare_label`` is false, or ``score_range`` no range.
    """

    higher_is_better = False

    def __init__(
        self, compare_label: bool = True, score_range: tuple[float, float] | None = None
    ) -> None:
        if not compare_label:
            raise ConfigError(
                f"{type(self).__name__}: compare_label={compare_label!r}, a comparison with the "
                "float model's predictions, is not supported. Give labels, and leave it out."
            )
        self.score_range = None if score_range is None else _checked_range(self, score_range)
        self._mean = RunningMean()

    def reset(self) -> None:
        """Forget everything added."""
        self._mean = RunningMean()

    def scores(self, predictions: Any, labels: Any) -> Array | None:
        """Return the error of each sample, float64 ``(batch,)``; ``None`` without ``score_range``.

        Args:
            predictions: As ``update``.
            labels: As ``update``.

        Raises:
            EvaluationError: As ``update``.
        """
        if self.score_range is None:
            return None
        difference = self._difference(predictions, labels)
        errors = self._errors(difference).reshape(len(read_labels(labels)), -1)
        scores: Array = errors.mean(axis=1)
        return scores

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch.

        Args:
            predictions: Numbers, the batch first.
            labels: Numbers of the same shape; trailing axes of size 1 do not count.

        Raises:
            EvaluationError: If the shapes differ.
        """
        errors = self._errors(self._difference(predictions, labels))
        self._mean.add(float(errors.sum()), errors.size)

    def merge(self, other: _ElementMean) -> None:
        """Add what another instance was given."""
        self._mean.merge(other._mean)

    def result(self) -> float:
        """Return the error, at least 0, in the unit of the labels (MSE: its square).

        Raises:
            EvaluationError: If no sample was added.
        """
        return self._mean.value(type(self).__name__)

    def _difference(self, predictions: Any, labels: Any) -> Array:
        """Return prediction minus label of every element, float64 ``(M,)``."""
        found, wanted = read_predictions(predictions), read_labels(labels)
        if squeeze_trailing(found).shape != squeeze_trailing(wanted).shape:
            raise misfit(type(self).__name__, found, wanted, "Give equal shapes.")
        # float64 first: differences of uint8 wrap around, squares of float16 overflow
        difference: Array = found.reshape(-1).astype(np.float64) - wanted.reshape(-1).astype(
            np.float64
        )
        return difference

    @abc.abstractmethod
    def _errors(self, difference: Array) -> Array: ...


class MAE(_ElementMean):
    """Mean absolute error over all elements.

    Example:
        >>> metric = MAE()
        >>> metric.update([1.0, 2.0], [1.0, 5.0])
        >>> metric.update([0.0], [0.0])
        >>> metric.result()
        1.0
    """

    def _errors(self, difference: Array) -> Array:
        return np.abs(difference)


class MSE(_ElementMean):
    """Mean squared error over all elements.

    Example:
        >>> metric = MSE()
        >>> metric.update([1.0, 2.0], [1.0, 5.0])
        >>> metric.update([0.0], [0.0])
        >>> metric.result()
        3.0
    """

    def _errors(self, difference: Array) -> Array:
        return np.square(difference)


class RMSE(MSE):
    """Root of the mean squared error over all elements, not a mean of the batches' roots.

    Example:
        >>> metric = RMSE()
        >>> metric.update([[1.0, 2.0]], [[1.0, 6.0]])
        >>> metric.update([[0.0, 0.0]], [[0.0, 0.0]])
        >>> metric.result()
        2.0
    """

    def __init__(self, compare_label: bool = True) -> None:
        # a root of a mean is no mean: samples have no score of their own
        super().__init__(compare_label)

    def result(self) -> float:
        """Return the error, at least 0, in the unit of the labels.

        Raises:
            EvaluationError: If no sample was added.
        """
        return math.sqrt(super().result())


def _checked_range(metric: _ElementMean, score_range: Any) -> tuple[float, float]:
    try:
        lo, hi = map(float, score_range)
    except (TypeError, ValueError):
        lo = hi = math.nan
    if not 0 <= lo < hi < math.inf:
        raise ConfigError(
            f"{type(metric).__name__}: score_range must hold the least and largest error of a "
            f"sample, such as [0, 4]; received {score_range!r}"
        )
    return lo, hi
