"""Loss: for models that output it themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inc_core.errors import EvaluationError
from inc_metrics.running_mean import RunningMean
from inc_metrics.shapes import read_predictions

__all__ = ["Loss"]


class Loss:
    """The mean over samples of predictions that are losses; labels only tell the batch's size.

    Example:
        >>> metric = Loss()
        >>> metric.update([0.25, 0.75, 0.5], labels=[0, 1, 1])  # one loss per sample
        >>> metric.update(2.5, labels=[1])  # the mean loss of a batch
        >>> metric.result()
        1.0
    """

    higher_is_better = False

    def __init__(self) -> None:
        self._mean = RunningMean()

    def reset(self) -> None:
        """Forget everything added."""
        self._mean = RunningMean()

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch.

        Args:
            predictions: One number, the mean loss of the batch; or losses with the batch first.
            labels: Anything with the batch first: an array, or a sequence or mapping of arrays;
                ``None`` takes the size of the predictions.

        Raises:
            EvaluationError: If there are neither one nor as many losses as samples.
        """
        losses = read_predictions(predictions).astype(np.float64)
        size = len(losses) if labels is None else _batch_size(labels)
        if losses.size != 1 and len(losses) != size:
            raise EvaluationError(
                f"Loss: predictions of shape {losses.shape} and {size} labels (shape "
                f"{np.shape(labels)}) do not fit. The model must output one loss, or one per sample."
            )
        if losses.size:
            self._mean.add(losses.mean() * size, size)

    def merge(self, other: Loss) -> None:
        """Add what another instance was given."""
        self._mean.merge(other._mean)

    def result(self) -> float:
        """Return the mean loss.

        Raises:
            EvaluationError: If no sample was added.
        """
        return self._mean.value("Loss")


def _batch_size(labels: Any) -> int:
    if isinstance(labels, Mapping):
        labels = next(iter(labels.values()), ())
    elif isinstance(labels, tuple | list) and labels and np.ndim(labels[0]) > 0:
        labels = labels[0]
    shape = np.shape(labels)
    return int(shape[0]) if shape else 1
