"""What weight-only algorithms know of a layer's inputs: second moments, never the inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["InputStatistics", "Moments", "output_error"]


@dataclass(frozen=True)
class InputStatistics:
    """Second moments of the inputs of one layer.

    Attributes:
        gram: float32 ``(K, K)``: the sum of ``x x^T`` over the rows seen.
        mean_abs: float32 ``(K,)``: the mean of ``|x|``.
        rows: How many rows were seen.
    """

    gram: Tensor
    mean_abs: Tensor
    rows: int

    @classmethod
    def of(cls, inputs: Tensor) -> InputStatistics:
        """Return the statistics of inputs ``(..., K)``."""
        moments = Moments(inputs.shape[-1])
        moments.add(inputs)
        return moments.statistics()


class Moments:
    """Adds up the statistics of one layer's inputs, batch by batch, in place.

    Args:
        columns: ``K``, the number of the layer's inputs.
    """

    def __init__(self, columns: int) -> None:
        self._gram = torch.zeros(columns, columns)
        self._sum_abs = torch.zeros(columns, dtype=torch.float64)
        self._rows = 0

    def add(self, inputs: Tensor) -> None:
        """Add the rows of ``(..., K)``."""
        matrix = inputs.detach().reshape(-1, inputs.shape[-1]).float().cpu()
        self._gram.addmm_(matrix.T, matrix)
        self._sum_abs += matrix.abs().sum(0)
        self._rows += len(matrix)

    def statistics(self) -> InputStatistics:
        """Return what was added; shares memory with later additions."""
        mean_abs = (self._sum_abs / max(self._rows, 1)).float()
        return InputStatistics(self._gram, mean_abs, self._rows)


def output_error(difference: Tensor, statistics: InputStatistics) -> float:
    """Return the mean squared error of the outputs, summed over channels.

    Args:
        difference: ``W - W'``, float ``(N, K)``.
        statistics: Of the inputs ``X`` of the layer.

    Returns:
        ``|(W - W') X|^2 / rows``, from the Gram matrix alone: ``tr(D X X^T D^T) / rows``.
    """
    moved = difference @ statistics.gram
    return float((moved * difference).sum()) / max(statistics.rows, 1)
