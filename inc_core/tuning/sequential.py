"""When an evaluation may end early: a sequential test of per-sample scores against the float model's.

Nothing but a *fail* ends an evaluation. What looks like a pass is evaluated to the end, so that a
model is accepted on all of the data or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from inc_core.errors import EvaluationError
from inc_core.tuning.criterion import Criterion

__all__ = ["FALSE_FAIL_RISK", "BettingTest", "Gate", "Screening", "Verdict"]

Array: TypeAlias = npt.NDArray[np.float64]
Verdict = Literal["fail", "pass"]

# How often a recipe that meets the goal may be rejected early. It costs a good trial, never the
# goal: what is accepted was evaluated to the end.
FALSE_FAIL_RISK = 0.02

# Stakes per unit of surprise, each played by an equal part of the capital. Values of paired scores
# lie near 1/2 and vary little, so that winning stakes are large; four of them lose at most a factor
# of four to the best. Betting by a running mean and variance was 10 % slower.
STAKES = np.array([0.15, 0.4, 0.8, 1.5])[:, np.newaxis]

# Share of its capital that one sample can cost a player; all of it would end the test.
MAX_BET = 0.95

# Capitals are cut here: what is proven need not be proven more, and floats end somewhere.
ENOUGH = 1e50

# A look costs some 150 us however few samples it is given, as much as 2 samples of a small model: batches
# are put together, late in an evaluation the more so, where it ends later by this share at most.
LOOK_AFTER = 32
LOOK_SHARE = 1 / 64

# Sums of floats are as exact as this; closer to the threshold nothing is decided early.
ROUNDING = 1e-9


class BettingTest:
    """Decide whether the mean of a finite set exceeds a limit, from a part of it in random order.

    Two players bet against "the mean is at most ``limit``" and "the mean is at least ``limit``"; a
    capital of ``1 / risk`` is a proof at that risk however often one looks (Ville's inequality).

    Args:
        size: How many values there are in all.
        limit: What the mean is compared with.
        risk: Probability of a wrong ``"fail"``, and of a wrong ``"pass"``.

    Source: Waudby-Smith and Ramdas 2024 (arXiv:2010.09686), sections 4 and 5.
    """

    def __init__(self, size: int, limit: float, risk: float = FALSE_FAIL_RISK) -> None:
        self._size = size
        self._limit = limit
        self._needed = len(STAKES) / risk
        self._seen = 0
        self._sum = 0.0
        self._fail_capitals = np.ones((len(STAKES), 1))
        self._pass_capitals = np.ones((len(STAKES), 1))

    def add(self, values: Array) -> Verdict | None:
        """Bet on further values, each in [0, 1]; ``"fail"`` says that the mean is above the limit.

        Every value counts as one look, whatever the size of the batch.
        """
        before = self._seen + np.arange(len(values))
        sums = self._sum + np.cumsum(values) - values
        # the mean of what is left, were the mean of all exactly at the limit
        left = (self._size * self._limit - sums) / (self._size - before)
        self._seen += len(values)
        self._sum += float(values.sum())
        # outside of [0, 1] the limit is out of reach for the rest: that side has won outright
        room = np.clip(left, ROUNDING, 1 - ROUNDING)
        surprise = values - room
        fails = 1 + np.minimum(STAKES, MAX_BET / room) * surprise
        passes = 1 - np.minimum(STAKES, MAX_BET / (1 - room)) * surprise
        with np.errstate(over="ignore"):  # an infinite capital wins as well
            fails = self._fail_capitals * np.cumprod(fails, axis=1)
            passes = self._pass_capitals * np.cumprod(passes, axis=1)
        self._fail_capitals = np.minimum(fails[:, -1:], ENOUGH)
        self._pass_capitals = np.minimum(passes[:, -1:], ENOUGH)
        first_fail = _first(fails.sum(axis=0) > self._needed, left < -ROUNDING)
        first_pass = _first(passes.sum(axis=0) > self._needed, left > 1 + ROUNDING)
        if first_fail == first_pass:  # neither
            return None
        return "fail" if first_fail < first_pass else "pass"


def _first(*events: npt.NDArray[np.bool_]) -> int:
    """Return the first index at which any event happened; the length if none did."""
    happened = np.logical_or.reduce(events)
    return int(happened.argmax()) if happened.any() else len(happened)


@dataclass(frozen=True)
class Gate:
    """What trials are held against: the goal, and the float model's scores sample by sample.

    Attributes:
        criterion: The goal.
        samples: How many samples the float model was evaluated on.
        scores: Its scores in the order of evaluation, float64 ``(samples,)``; ``None`` for metrics
            that only have bounds.
        score_range: Least and largest score there can be.
        random_order: Whether samples come in random order. Elsewhere what was seen says nothing of
            what follows (data is often sorted by class), so only what is certain counts.
        risk: Probability of rejecting a recipe that meets the goal.
    """

    criterion: Criterion
    samples: int
    scores: Array | None = None
    score_range: tuple[float, float] = (0.0, 1.0)
    random_order: bool = True
    risk: float = FALSE_FAIL_RISK

    def start(self) -> Screening:
        """Return the test of one evaluation; there must be scores."""
        assert self.scores is not None
        return Screening(self, self.scores)


class Screening:
    """The test of one model: give the scores of each batch, ask for the verdict."""

    def __init__(self, gate: Gate, scores: Array) -> None:
        self._gate = gate
        self._expected = scores
        lo, hi = gate.score_range
        higher = gate.criterion.higher_is_better
        self._best, self._worst = (hi, lo) if higher else (lo, hi)
        self._sign = 1.0 if higher else -1.0
        self._range = hi - lo
        self._seen = 0
        self._total = self._lost = 0.0
        self._unseen: list[Array] = []  # what the test was not shown yet
        # losses per sample lie within +- range; the test wants [0, 1]
        self._baseline = float(scores.mean())
        allowed = self._sign * (self._baseline - gate.criterion.threshold)
        self._betting = BettingTest(len(scores), (allowed / self._range + 1) / 2, gate.risk)

    def add(self, scores: Any) -> Verdict | None:
        """Count one batch; return ``"fail"`` or ``"pass"`` as soon as that is known.

        Raises:
            EvaluationError: If a score is better than the best of the range. Worse ones count as
                the worst, which can only help the model that is tested.
        """
        values = self._clipped(np.asarray(scores, np.float64))
        expected = self._expected[self._seen : self._seen + len(values)]
        self._seen += len(values)
        self._total += float(values.sum())
        if len(expected) < len(values):
            return None  # other data than the float model saw: no pairs, no decision
        losses = self._sign * (expected - values)
        self._lost += float(losses.sum())
        certain = self._certain()
        if certain is not None or not self._gate.random_order or not len(values):
            return certain
        return self._look((losses / self._range + 1) / 2)

    def _look(self, values: Array) -> Verdict | None:
        self._unseen.append(values)
        if sum(map(len, self._unseen)) < max(LOOK_AFTER, LOOK_SHARE * self._seen):
            return None
        gathered, self._unseen = np.concatenate(self._unseen), []
        return self._betting.add(gathered)

    def estimate(self) -> float:
        """Return what the result would be if the rest were like what was seen; never accepted."""
        criterion = self._gate.criterion
        # paired: how lucky the draw was, the float model's scores tell
        paired = self._baseline - self._sign * self._lost / self._seen
        if self._gate.random_order and not criterion.accepts(paired):
            return paired
        return self._total / self._seen

    def _certain(self) -> Verdict | None:
        """Return the verdict that no outcome of the samples left can change."""
        size, accepts = len(self._expected), self._gate.criterion.accepts
        left = size - self._seen
        doubt = self._sign * ROUNDING * self._range
        if not accepts((self._total + left * self._best) / size + doubt):
            return "fail"
        if accepts((self._total + left * self._worst) / size - doubt):
            return "pass"
        return None

    def _clipped(self, values: Array) -> Array:
        beyond = self._sign * (values - self._best) > ROUNDING * self._range
        if beyond.any() or not np.isfinite(values).all():
            odd = values[beyond | ~np.isfinite(values)][0]
            raise EvaluationError(
                f"the metric's scores() gave {float(odd)!r}, and its score_range is "
                f"{self._gate.score_range}. Correct score_range, or set tuning.early_stop: false."
            )
        clipped: Array = np.clip(values, *self._gate.score_range)
        return clipped
