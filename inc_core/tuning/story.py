"""What a search did, trial by trial, for tables and pictures: from its journal or a saved model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inc_core.config.types import ExitPolicyConfig
from inc_core.tuning.history import baseline_of, goal_of, trials_of
from inc_core.tuning.journal import Record
from inc_core.tuning.policy import Left, Stopping
from inc_core.tuning.trial import LATENCY, Baseline, Status, Trial, attainable

__all__ = ["Row", "Story", "facts_of", "rows_of", "story_from_facts", "story_from_records"]


@dataclass(frozen=True)
class Row:
    """One trial, without its recipe.

    Attributes:
        number: From 1.
        status: How it ended.
        accepted: Whether its accuracy met the goal.
        accuracy: ``None`` if it failed; an estimate if it was rejected early.
        seconds: Measured latency of one batch; ``None`` if it was not measured.
        speedup: The float model's latency by it.
        expected_loss: What the strategy expected, in units of the metric.
        expected_speedup: What the strategy expected.
        samples: Evaluated samples.
        duration: Wall time of the trial in seconds.
        quantized: How many ops were quantized.
        ops: How many there were to choose for.
        note: Options of the recipe, or what went wrong.
    """

    number: int
    status: Status
    accepted: bool
    accuracy: float | None
    seconds: float | None
    speedup: float | None
    expected_loss: float | None
    expected_speedup: float | None
    samples: int
    duration: float
    quantized: int
    ops: int
    note: str

    @classmethod
    def of(cls, trial: Trial, baseline: Baseline) -> Row:
        """Return what is shown of a trial."""
        forecast = trial.forecast
        return cls(
            number=trial.number,
            status=trial.status,
            accepted=trial.accepted,
            accuracy=trial.accuracy,
            seconds=trial.objectives.get(LATENCY),
            speedup=trial.speedup(baseline),
            expected_loss=None if forecast is None else forecast.loss,
            expected_speedup=None if forecast is None else forecast.speedup,
            samples=trial.samples,
            duration=trial.seconds,
            quantized=len(trial.recipe.quantized_ops),
            ops=len(trial.recipe.ops),
            note=trial.error or ", ".join(trial.recipe.options),
        )


@dataclass(frozen=True)
class Story:
    """A search so far.

    Attributes:
        title: Of a picture.
        accuracy: The float model's.
        seconds: The float model's latency of one batch, if it was measured.
        threshold: The worst accuracy that the goal allows; ``None`` in journals that do not say.
        higher_is_better: Direction of the metric.
        rows: One for each trial, by number.
        best: Numbers of the trials that were the best so far when they ended.
        chosen: Number of the one that was returned.
        leading: Number of the best so far, which is the chosen one at the end.
        bound: The largest speed-up that the strategy last thought possible.
        left: What may still be spent, of a search that has not ended.
    """

    title: str
    accuracy: float
    seconds: float | None
    threshold: float | None
    higher_is_better: bool
    rows: tuple[Row, ...]
    best: frozenset[int] = field(default=frozenset())
    chosen: int | None = None
    leading: int | None = None
    bound: float | None = None
    left: Left = field(default_factory=Left)

    @property
    def best_row(self) -> Row | None:
        """The best trial so far, at the end the chosen one."""
        return next((row for row in self.rows if row.number == self.leading), None)

    @property
    def possible(self) -> float | None:
        """``bound`` in terms of what was measured of the best trial."""
        best = self.best_row
        if best is None:
            return self.bound
        return attainable(self.bound, best.speedup, best.expected_speedup)

    def loss(self, accuracy: float) -> float:
        """Return by how much an accuracy is worse than the float model's."""
        difference = self.accuracy - accuracy
        return difference if self.higher_is_better else -difference

    def at_loss(self, loss: float) -> float:
        """Return the accuracy that has a loss."""
        return self.accuracy - loss if self.higher_is_better else self.accuracy + loss


def facts_of(records: Sequence[Record]) -> dict[str, Any] | None:
    """Return the final facts that a run journaled; ``None`` if it did not come so far."""
    for record in reversed(records):
        if record.type == "measured" and record.fields.get("what") == "facts":
            return dict(record.fields["value"])
    return None


def rows_of(trials: Iterable[Trial], baseline: Baseline) -> tuple[Row, ...]:
    """Return what is shown of trials."""
    return tuple(Row.of(trial, baseline) for trial in trials)


def story_from_records(title: str, records: Sequence[Record]) -> Story | None:
    """Return the story of a journal; ``None`` before the float model was evaluated."""
    baseline, goal = baseline_of(tuple(records)), goal_of(tuple(records))
    if baseline is None or baseline.accuracy is None:
        return None
    trials = tuple(trials_of(tuple(records)))
    rows = rows_of(trials, baseline)
    best = [record.fields["number"] for record in records if record.type == "accepted"]
    stopped = [record.fields for record in records if record.type == "stopped"]
    chosen = best[-1] if best and stopped else None
    facts = facts_of(records)
    if facts is not None and facts.get("search"):
        chosen = facts["search"]["chosen"] if facts.get("goal_met") else None
        if "history" in facts["search"]:  # there the finalists have been timed side by side
            rows = tuple(Row(**row) for row in facts["search"]["history"])
    return Story(
        title=title,
        accuracy=baseline.accuracy,
        seconds=baseline.objectives.get(LATENCY),
        threshold=goal.get("threshold"),
        higher_is_better=goal.get("higher_is_better", True),
        rows=rows,
        best=frozenset(best),
        chosen=chosen,
        leading=(best[-1] if best else None) if chosen is None else chosen,
        bound=stopped[-1].get("bound") if stopped else _last_bound(trials),
        left=Left() if stopped else _left(trials, goal),
    )


def _last_bound(trials: Sequence[Trial]) -> float | None:
    bounds = [trial.forecast.bound for trial in trials if trial.forecast is not None]
    return next((bound for bound in reversed(bounds) if bound is not None), None)


def _left(trials: Sequence[Trial], goal: Mapping[str, Any]) -> Left:
    policy = ExitPolicyConfig(timeout=goal.get("timeout", 0.0), max_trials=goal.get("max_trials"))
    return Stopping(policy).left(trials, sum(trial.seconds for trial in trials))


def story_from_facts(facts: Mapping[str, Any]) -> Story | None:
    """Return the story that a saved model tells of its search; ``None`` if it tells none."""
    search, accuracy = facts.get("search", {}), facts.get("accuracy", {})
    if "history" not in search or accuracy.get("baseline") is None:
        return None
    return Story(
        title=facts.get("model") or "search",
        accuracy=accuracy["baseline"],
        seconds=search.get("baseline_seconds"),
        threshold=accuracy["threshold"],
        higher_is_better=accuracy["higher_is_better"],
        rows=tuple(Row(**row) for row in search["history"]),
        chosen=search["chosen"] if facts.get("goal_met") else None,
        leading=search["chosen"] if facts.get("goal_met") else None,
        bound=search.get("bound"),
    )
