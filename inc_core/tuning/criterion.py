"""Which accuracies are accepted, and which of two is better."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inc_core.errors import EvaluationError

__all__ = ["Criterion"]


@dataclass(frozen=True)
class Criterion:
    """The accuracy goal, relative to a float baseline.

    Attributes:
        baseline: Accuracy of the float model.
        tolerance: Allowed loss: a share of ``|baseline|`` if ``relative``, else in units of the metric.
        relative: How ``tolerance`` is meant.
        higher_is_better: Direction of the metric.
        margin: By how much the goal is tightened because evaluations are noisy, in units of the
            metric.
    """

    baseline: float
    tolerance: float = 0.01
    relative: bool = True
    higher_is_better: bool = True
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.baseline):
            raise EvaluationError(
                f"the float model's accuracy is {self.baseline!r}: no goal can be derived from it. "
                "Check the metric on the float model first."
            )
        if self.relative and self.baseline == 0:
            raise EvaluationError(
                "the float model's accuracy is 0, so a relative loss has no meaning. "
                "Set tuning.accuracy_criterion.absolute, or check metric and labels."
            )

    @property
    def threshold(self) -> float:
        """The worst accuracy that is accepted; ``|baseline|`` keeps negative baselines right."""
        allowed = self.tolerance * abs(self.baseline) if self.relative else self.tolerance
        allowed -= self.margin
        return self.baseline - allowed if self.higher_is_better else self.baseline + allowed

    @property
    def allowed(self) -> float:
        """The largest loss that is accepted, in units of the metric."""
        return self.loss(self.threshold)

    def accepts(self, accuracy: float) -> bool:
        """Whether an accuracy meets the goal; the threshold itself does."""
        if self.higher_is_better:
            return accuracy >= self.threshold
        return accuracy <= self.threshold

    def is_undecidable(self, accuracy: float) -> bool:
        """Whether noise decides on which side of the goal an accuracy is."""
        return self.loss(self.threshold) < self.loss(accuracy) < self.allowed + 2 * self.margin

    def loss(self, accuracy: float) -> float:
        """Return by how much an accuracy is worse than the baseline; negative if better."""
        difference = self.baseline - accuracy
        return difference if self.higher_is_better else -difference

    def is_better(self, accuracy: float, other: float) -> bool:
        """Whether ``accuracy`` is strictly better than ``other``."""
        return self.loss(accuracy) < self.loss(other)
