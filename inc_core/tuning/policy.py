"""When a search ends and which accepted trial wins; pure functions of what has happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from statistics import median
from typing import NamedTuple

from inc_core.config.types import ExitPolicyConfig
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.trial import StopReason, Trial

__all__ = ["Left", "Ranking", "Stop", "Stopping", "failing_alike"]

FAILURES_ALIKE = 3  # different recipes that fail in one way: the cause is outside of the recipes

# A strategy that only repeats itself has seen everything it can propose.
REPETITIONS = 100

FAILED = frozenset({"failed", "oom", "crashed", "timeout"})


@dataclass(frozen=True)
class Stop:
    """Why a search ends."""

    reason: StopReason
    message: str


class Left(NamedTuple):
    """What a search may still spend: trials and seconds; ``None`` where there is no limit."""

    trials: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Stopping:
    """The exit policy: asked after each trial, and before each.

    Attributes:
        policy: As configured.
        own_stop_rule: Whether the strategy decides itself what follows an accepted trial
            (``own_stop_rule = True`` on its class); otherwise ``timeout: 0`` ends there.
    """

    policy: ExitPolicyConfig
    own_stop_rule: bool = False

    def after(self, trials: Sequence[Trial]) -> Stop | None:
        """Return why the search ends after its latest trial, if it does."""
        if not trials:
            return None
        latest = trials[-1]
        if latest.accepted and self.policy.timeout == 0 and not self.own_stop_rule:
            return Stop("goal_met", f"trial {latest.number} met the accuracy goal")
        if failing_alike(trials):
            return Stop(
                "failures", f"{FAILURES_ALIKE} recipes in a row failed alike: {latest.error}"
            )
        if _repetitions(trials) >= REPETITIONS:
            return Stop("exhausted", f"the strategy repeated known recipes {REPETITIONS} times")
        limit = self.policy.max_trials
        if limit is not None and _spent(trials) >= limit:
            return Stop("max_trials", f"max_trials ({limit}) was reached")
        return None

    def left(self, trials: Sequence[Trial], elapsed: float) -> Left:
        """Return what may still be spent, by the policy and by the strategy's own word.

        Args:
            trials: What was tried so far.
            elapsed: Seconds of the whole search so far.
        """
        limit, budget = self.policy.max_trials, self.policy.timeout
        limits = [] if limit is None else [limit - _spent(trials)]
        forecast = trials[-1].forecast if trials else None
        if forecast is not None and forecast.trials_left is not None:
            limits.append(forecast.trials_left - 1)  # which counts the trial that it was about
        return Left(min(limits, default=None), max(budget - elapsed, 0.0) if budget > 0 else None)

    def before(self, trials: Sequence[Trial], elapsed: float) -> Stop | None:
        """Return why no further trial is started, if none is.

        Args:
            trials: What was tried so far.
            elapsed: Seconds of the whole search so far.
        """
        budget = self.policy.timeout
        if budget <= 0:
            return None
        if elapsed >= budget:
            return Stop("timeout", f"the time of {budget:g} s is up")
        expected = _expected_seconds(trials)
        # the very first trial is started anyway: without one there is nothing to return
        if expected is not None and elapsed + expected > budget:
            return Stop(
                "timeout",
                f"{budget - elapsed:.1f} s of {budget:g} s are left and a trial takes about "
                f"{expected:.1f} s",
            )
        return None


def _spent(trials: Iterable[Trial]) -> int:
    return sum(trial.status != "cached" for trial in trials)


def _expected_seconds(trials: Iterable[Trial]) -> float | None:
    trials = tuple(trial for trial in trials if not trial.from_cache)
    spent = [trial.seconds for trial in trials if trial.status == "ok"]
    # one that ended early tells little of one that may pass, but more than nothing
    spent = spent or [trial.seconds for trial in trials if trial.status == "rejected_early"]
    return median(spent[-5:]) if spent else None


def _repetitions(trials: Sequence[Trial]) -> int:
    return sum(1 for _ in takewhile(lambda trial: trial.status == "cached", reversed(trials)))


def failing_alike(trials: Sequence[Trial]) -> bool:
    """Whether the last three different recipes failed in one way, one after the other.

    In one way means: the same exception type at the same place; messages may name different ops.
    """
    run_ones = (trial for trial in reversed(trials) if trial.status != "cached")
    tail = list(islice(run_ones, FAILURES_ALIKE))
    if len(tail) < FAILURES_ALIKE or any(trial.status not in FAILED for trial in tail):
        return False
    return len({_kind(trial) for trial in tail}) == 1


def _kind(trial: Trial) -> tuple[str, str, str]:
    """Return status, exception type and place of a failure (``Type: message [at place]``)."""
    place = trial.error.rpartition(" [at ")[2] if " [at " in trial.error else ""
    return trial.status, trial.error.partition(":")[0], place


@dataclass(frozen=True)
class Ranking:
    """Orders accepted trials: by weighted objectives, then by accuracy, then by number.

    Attributes:
        criterion: Which of two accuracies is better.
        baseline: The float model's objectives by name.
        weights: Weight by objective name.
        higher_is_better: Direction by objective name.
    """

    criterion: Criterion
    baseline: Mapping[str, float]
    weights: Mapping[str, float]
    higher_is_better: Mapping[str, bool]

    def cost(self, trial: Trial) -> float:
        """Return the weighted mean of the objectives as shares of the float model's; 1 is as float.

        Accuracy may be an objective too: its loss relative to the float model is added to 1.
        """
        terms = [(w, self._share(name, trial)) for name, w in self.weights.items()]
        known = [(weight, share) for weight, share in terms if share is not None]
        total = sum(weight for weight, _ in known)
        return sum(weight * share for weight, share in known) / total if total else 1.0

    def _share(self, name: str, trial: Trial) -> float | None:
        value, reference = trial.objectives.get(name), self.baseline.get(name)
        if value is None or reference is None:
            return None
        loss = reference - value if self.higher_is_better.get(name, False) else value - reference
        # relative to |reference|; a reference of 0 leaves the plain difference
        return 1.0 + loss / (abs(reference) or 1.0)

    def best(self, trials: Iterable[Trial]) -> Trial | None:
        """Return the accepted trial of least cost, the more accurate and earlier one on a tie."""
        accepted = [trial for trial in trials if trial.accepted and trial.accuracy is not None]
        return min(accepted, key=self.order, default=None)

    def order(self, trial: Trial) -> tuple[float, float, int]:
        """Return what accepted trials are sorted by, the best first."""
        assert trial.accuracy is not None
        return self.cost(trial), self.criterion.loss(trial.accuracy), trial.number
