"""The mean of everything added, in double precision and constant memory."""

from __future__ import annotations

from inc_core.errors import EvaluationError

__all__ = ["RunningMean", "require_samples"]


class RunningMean:
    """A float64 sum and a count.

    Example:
        >>> mean = RunningMean()
        >>> mean.add(total=6.0, count=2)
        >>> mean.add(total=1.0, count=2)
        >>> mean.value("MAE")
        1.75
    """

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def add(self, total: float, count: int) -> None:
        """Add the sum over ``count`` further values."""
        self._total += float(total)
        self._count += int(count)

    def merge(self, other: RunningMean) -> None:
        """Add what another one was given."""
        self._total += other._total
        self._count += other._count

    def value(self, metric: str) -> float:
        """Return the mean.

        Args:
            metric: Whose result it is, for the message.

        Raises:
            EvaluationError: If nothing was added.
        """
        require_samples(self._count, metric)
        return self._total / self._count


def require_samples(count: int, metric: str) -> None:
    """Raise ``EvaluationError`` if ``count`` is 0: there is no result over no samples."""
    if count == 0:
        raise EvaluationError(
            f"{metric} has no result: 0 samples were added. Call update(predictions, labels) for "
            "each batch first; check that the evaluation data is not empty."
        )
