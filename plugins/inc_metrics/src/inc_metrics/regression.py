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
    """Mean over all elements of all samples of what ``_sum`` adds up.

    Args:
        compare_label: Must be true. Old configurations may say false, for a comparison with the
            float model's predictions, which is not supported.

    Raises:
        ConfigError: If ``compare_label`` is false.
    """

    higher_is_better = False

    def __init__(self, compare_label: bool = True) -> None:
        if not compare_label:
            raise ConfigError(
                f"{type(self).__name__}: compare_label={compare_label!r}, a comparison with the "
                "float model's predictions, is not supported. Give labels, and leave it out."
            )
        self._mean = RunningMean()

    def reset(self) -> None:
        """Forget everything added."""
        self._mean = RunningMean()

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch.

        Args:
            predictions: Numbers, the batch first.
            labels: Numbers of the same shape; trailing axes of size 1 do not count.

        Raises:
            EvaluationError: If the shapes differ.
        """
        found, wanted = read_predictions(predictions), read_labels(labels)
        if squeeze_trailing(found).shape != squeeze_trailing(wanted).shape:
            raise misfit(type(self).__name__, found, wanted, "Give equal shapes.")
        # float64 first: differences of uint8 wrap around, squares of float16 overflow
        difference = found.reshape(-1).astype(np.float64) - wanted.reshape(-1).astype(np.float64)
        self._mean.add(self._sum(difference), difference.size)

    def result(self) -> float:
        """Return the error, at least 0, in the unit of the labels (MSE: its square).

        Raises:
            EvaluationError: If no sample was added.
        """
        return self._mean.value(type(self).__name__)

    @abc.abstractmethod
    def _sum(self, difference: Array) -> float: ...


class MAE(_ElementMean):
    """Mean absolute error over all elements.

    Example:
        >>> metric = MAE()
        >>> metric.update([1.0, 2.0], [1.0, 5.0])
        >>> metric.update([0.0], [0.0])
        >>> metric.result()
        1.0
    """

    def _sum(self, difference: Array) -> float:
        return float(np.abs(difference).sum())


class MSE(_ElementMean):
    """Mean squared error over all elements.

    Example:
        >>> metric = MSE()
        >>> metric.update([1.0, 2.0], [1.0, 5.0])
        >>> metric.update([0.0], [0.0])
        >>> metric.result()
        3.0
    """

    def _sum(self, difference: Array) -> float:
        return float(np.square(difference).sum())


class RMSE(MSE):
    """Root of the mean squared error over all elements, not a mean of the batches' roots.

    Example:
        >>> metric = RMSE()
        >>> metric.update([[1.0, 2.0]], [[1.0, 6.0]])
        >>> metric.update([[0.0, 0.0]], [[0.0, 0.0]])
        >>> metric.result()
        2.0
    """

    def result(self) -> float:
        """Return the error, at least 0, in the unit of the labels.

        Raises:
            EvaluationError: If no sample was added.
        """
        return math.sqrt(super().result())
