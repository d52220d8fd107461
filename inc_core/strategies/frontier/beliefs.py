"""What is believed of losses: a few loss models that differ in how losses add up, weighted by evidence.

Mostly losses add up: noise of single ops is independent and small. Where one op dominates, or where a
few wrong decisions are the same ones, many ops lose less than their sum: then powers of losses add
up. Nobody knows beforehand, every trial tells a little, so all of it is kept, each with the
probability of what trials have shown (Bayesian model averaging).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from inc_core.strategies.frontier.loss import LossModel

__all__ = ["POWERS", "Beliefs", "Curve", "Member"]

Array: TypeAlias = "np.ndarray[Any, Any]"

# How losses may add up, ``(sum loss**power) ** (1 / power)``, and how probable that is at first.
POWERS = {1.0: 0.9, 2.0: 0.1}

FLATTEST = 0.3  # of the target: below, a power's slope is taken as there, so that noise stays noise
SURPRISE = 3.0  # standard deviations: a member is not the worse for being further off than that
LEAST_WEIGHT = 0.02  # what is not believed at all costs time and changes nothing

_erf = np.vectorize(math.erf, otypes=[float])


@dataclass(frozen=True)
class Curve:
    """Maps linked losses to a scale on which they add up; the target maps to itself.

    Attributes:
        power: Of the loss.
        target: The allowed linked loss.
    """

    power: float
    target: float

    def up(self, values: Array | float) -> Array:
        """Return what adds up."""
        return self._raised(values, self.power)

    def down(self, values: Array | float) -> Array:
        """Inverse of ``up``."""
        return self._raised(values, 1.0 / self.power)

    def slope(self, value: float) -> float:
        """Return the derivative of ``up`` at a linked loss."""
        share = max(abs(value) / self.target, FLATTEST)
        return float(self.power * share ** (self.power - 1.0))

    def _raised(self, values: Array | float, power: float) -> Array:
        shares = np.asarray(values) / self.target
        return np.asarray(self.target * np.sign(shares) * np.abs(shares) ** power)


@dataclass
class Member:
    """One loss model, its scale, and the logarithm of how well it foresaw the trials."""

    curve: Curve
    model: LossModel
    evidence: float


class Beliefs:
    """Loss models side by side; speaks of linked losses only.

    Args:
        members: At least one; those of equal evidence in the order of preference.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)

    @property
    def leader(self) -> Member:
        """The member that foresaw best."""
        return max(self.members, key=lambda member: member.evidence)

    @property
    def means(self) -> Array:
        """What each column costs on the leader's scale, shape ``(M,)``."""
        return self.leader.model.means

    def weights(self) -> Array:
        """Return the probability of each member; sums to 1."""
        evidence = np.array([member.evidence for member in self.members])
        weights = np.exp(evidence - evidence.max())
        weights = np.where(weights < LEAST_WEIGHT, 0.0, weights)
        return np.asarray(weights / weights.sum())

    def expected(self, selection: Array) -> tuple[float, float]:
        """Return mean and standard deviation of a selection's linked loss, by the leader."""
        curve, model = self.leader.curve, self.leader.model
        mean, variance = (float(part[0]) for part in model.predict(selection[None]))
        value = float(curve.down(mean))
        return value, math.sqrt(variance) / curve.slope(value)

    def judge(self, selection: Array, value: float, noise: float = 0.0) -> None:
        """Weigh the members by how well each foresaw a trial; call it before ``observe``."""
        for member in self.members:
            slope = member.curve.slope(value)
            mean, variance = (float(part[0]) for part in member.model.predict(selection[None]))
            variance += slope**2 * (member.model.own_variance(value) + noise**2)
            residual = float(member.curve.up(value)) - mean
            member.evidence += math.log(slope) - 0.5 * (
                math.log(variance) + min(residual**2 / variance, SURPRISE**2)
            )

    def observe(
        self, selection: Array, value: float, noise: float = 0.0, *, deviates: bool = True
    ) -> None:
        """Tell every member that a selection has a linked loss; see ``LossModel.observe``."""
        own = LossModel.own_variance(value) if deviates else 0.0
        for member in self.members:
            curve, model = member.curve, member.model
            error = curve.slope(value) * math.sqrt(noise**2 + own)
            mean, variance = (float(part[0]) for part in model.predict(selection[None]))
            expected = float(curve.down(mean))
            # where losses are raised to a power, so is their error: judge where they are not
            known = variance / curve.slope(expected) ** 2 + noise**2 + own
            surprising = curve.power != 1.0 and (value - expected) ** 2 > 4.0 * known
            model.observe(selection, float(curve.up(value)), error, surprising=surprising)

    def rescale(self, columns: Array, value: float) -> None:
        """Tell every member that columns lose no more than a linked loss together."""
        for member in self.members:
            member.model.rescale(columns, float(member.curve.up(value)))

    def pass_probability(self, selections: Array, target: float, doubt: float) -> Array:
        """Return the probability that each selection's linked loss is within a target.

        Args:
            selections: Boolean, shape ``(K, M)``.
            target: The allowed linked loss.
            doubt: Factor on the standard deviation; above 1 after surprises.
        """
        total = np.zeros(len(selections))
        for weight, member in zip(self.weights(), self.members, strict=True):
            if weight > 0:
                means, variances = member.model.predict(selections)
                own = member.curve.slope(target) ** 2 * member.model.own_variance(target)
                deviations = doubt * np.sqrt(variances + own)
                limit = float(member.curve.up(target))
                total += weight * 0.5 * (1.0 + _erf((limit - means) / deviations / math.sqrt(2.0)))
        return total
