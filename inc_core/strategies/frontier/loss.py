"""The loss model: what each choice costs, as far as trials and measurements tell.

Losses add up after a *link* that undoes saturation: a model can lose no more than all of its
accuracy. In link space the loss of a selection is the sum over its columns. What a column costs is
unknown, taken as Gaussian, and every trial is one linear observation (a Kalman update).

The covariance is ``prior - U U^T`` with one column of ``U`` per observation: exact, and affordable
for 10,000 ops as it is for 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from inc_core.tuning.criterion import Criterion

__all__ = ["Link", "LossModel"]

Array: TypeAlias = "np.ndarray[Any, Any]"

# What one recipe deviates on a finite evaluation set, and the share of a loss by which the sum errs.
LUCK = 0.12
MISFIT = 0.10
TIGHT = 0.005  # relative loss: a goal below it is missed by all ops in integers as often as not
FAR = 10.0  # times the allowed loss: there the link is twice as wrong, as what breaks breaks in its own way

# Choices of one op fail together: an op with outliers is bad in every integer format.
KINSHIP = 0.6

# The first trial sets the scale of all sensitivities; by this share all may be off together.
SCALE_DOUBT = 0.25


class Link:
    """Maps losses to the scale on which they add up; 1 is about the allowed loss.

    Args:
        criterion: The goal; losses are counted in what it allows.

    Attributes:
        target: The allowed loss.
        is_tight: Whether all ops in integers miss the goal as often as not.
    """

    def __init__(self, criterion: Criterion) -> None:
        allowed = criterion.loss(criterion.threshold)
        smallest = 0.001 * abs(criterion.baseline) or 1e-9
        self._unit = max(allowed, smallest)
        self._whole = np.inf
        if criterion.higher_is_better and criterion.baseline > 0:
            self._whole = criterion.baseline / self._unit
        self.target = self(allowed)
        self.is_tight = allowed < TIGHT * abs(criterion.baseline)

    def __call__(self, loss: float) -> float:
        """Return the linked loss of a loss in units of the metric."""
        share = loss / self._unit
        if np.isinf(self._whole):
            return float(np.clip(share, -self.worst, self.worst))
        return float(-self._whole * np.log1p(-min(share / self._whole, 0.99)))

    def inverse(self, value: float) -> float:
        """Return the loss in units of the metric that has a linked loss."""
        if np.isinf(self._whole):
            return float(value * self._unit)
        return float(-np.expm1(-value / self._whole) * self._whole * self._unit)

    @property
    def worst(self) -> float:
        """The linked loss of a model that is good for nothing."""
        return 1000.0 if np.isinf(self._whole) else float(self._whole * np.log(100.0))


class LossModel:
    """Posterior over the linked loss of every column.

    Args:
        means: Prior means, positive, shape ``(M,)``.
        deviations: Prior standard deviations, shape ``(M,)``.
        owner: Group of each column, sorted, shape ``(M,)``.

    Attributes:
        means: Posterior means, shape ``(M,)``.
        floor: No column becomes cheaper than that by noise, shape ``(M,)``.
    """

    def __init__(self, means: Array, deviations: Array, owner: Array) -> None:
        self.prior = means.copy()
        self.means = means.copy()
        self.floor = 0.15 * means
        self._deviations = deviations
        self._owner = owner
        self._common = SCALE_DOUBT * means
        self._extra = np.zeros(len(means))
        self._directions = np.zeros((len(means), 8))
        self._count = 0

    def observe(
        self, selection: Array, value: float, error: float, *, surprising: bool = False
    ) -> None:
        """Learn what a selection loses.

        Args:
            selection: Boolean, shape ``(M,)``.
            value: The loss, on the scale of the means.
            error: Standard deviation of what is known of it; see ``own_variance``.
            surprising: The model cannot be right, whatever the error is on this scale.
        """
        chosen = selection.astype(float)
        if not selection.any():
            return
        residual = value - float(chosen @ self.means)
        covariance = self._times(chosen)
        total = float(chosen @ covariance) + error**2
        if surprising or residual**2 > 4.0 * total:
            # the prior was too sure of these columns: open their tails, each by what it may be off
            shares = self._deviations[selection] ** 2
            missing = max(residual**2 - total, 0.5 * residual**2)
            self._extra[selection] += missing * shares / shares.sum()
            covariance = self._times(chosen)
            total = float(chosen @ covariance) + error**2
        self.means = np.maximum(self.means + covariance / total * residual, self.floor)
        self._append(covariance / np.sqrt(total))

    @staticmethod
    def own_variance(value: float) -> float:
        """Return the variance that a recipe's linked loss has beside its columns'."""
        return LUCK**2 + (MISFIT * abs(value) * (1.0 + abs(value) / FAR)) ** 2

    def rescale(self, selection: Array, value: float) -> None:
        """Scale the prior of columns down, whose sum a hunt found to be ``value``."""
        expected = float(self.prior[selection].sum())
        if expected > value > 0:
            factor = value / expected
            self.floor[selection] *= factor
            lowered = np.maximum(self.prior[selection] * factor, self.floor[selection])
            self.means[selection] = np.minimum(self.means[selection], lowered)

    def predict(self, selections: Array) -> tuple[Array, Array]:
        """Return mean and variance of selections, shape ``(K, M)`` to ``(K,)`` twice."""
        always = selections.all(axis=0)
        varying = selections.any(axis=0) & ~always
        rows = selections[:, varying].astype(float)
        # what all selections share is summed once
        spreads = self._deviations**2 + self._extra
        common = float(self._common[always].sum()) + rows @ self._common[varying]
        directions = self._directions[:, : self._count]
        known = directions[always].sum(axis=0) + rows @ directions[varying]
        # at most one column per group is chosen, so kinship within groups adds nothing here
        variances = float(spreads[always].sum()) + rows @ spreads[varying] + common**2
        variances = variances - (known**2).sum(axis=1)
        means = float(self.means[always].sum()) + rows @ self.means[varying]
        return np.asarray(means), np.maximum(variances, 0.0)

    def _times(self, chosen: Array) -> Array:
        """Return the covariance times a vector."""
        scaled = self._deviations * chosen
        kin = np.bincount(self._owner, weights=scaled)[self._owner]
        prior = self._deviations * (KINSHIP * kin + (1.0 - KINSHIP) * scaled)
        prior = prior + self._common * float(self._common @ chosen)
        known = self._directions[:, : self._count]
        return np.asarray(prior + self._extra * chosen - known @ (known.T @ chosen))

    def _append(self, direction: Array) -> None:
        if self._count == self._directions.shape[1]:
            self._directions = np.concatenate(
                [self._directions, np.zeros_like(self._directions)], axis=1
            )
        self._directions[:, self._count] = direction
        self._count += 1
