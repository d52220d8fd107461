"""What a search finds: ``Trial`` and ``TuningResult``, frozen and JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inc_core.hookspecs.strategy import Forecast
from inc_core.quant.recipe import Recipe

__all__ = ["LATENCY", "Baseline", "Status", "StopReason", "Trial", "TuningResult", "attainable"]

LATENCY = "performance"  # the name of the objective, seconds of one batch

Status = Literal["ok", "rejected_early", "failed", "timeout", "oom", "crashed", "cached"]
StopReason = Literal[
    "goal_met", "exhausted", "max_trials", "timeout", "interrupted", "performance_only", "failures"
]


@dataclass(frozen=True)
class Baseline:
    """The float model's evaluation.

    Attributes:
        accuracy: The metric's value; ``None`` without evaluation data.
        objectives: Measured objectives by name.
        seconds: Wall time of the evaluation.
        samples: How many samples it saw; 0 if an opaque ``eval_func`` did it.
        from_cache: Whether an earlier run evaluated it, in ``seconds``.
        noise: Standard deviation of ``accuracy`` if it is evaluated again; 0 as a rule.
    """

    accuracy: float | None
    objectives: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    samples: int = 0
    from_cache: bool = False
    noise: float = 0.0


@dataclass(frozen=True)
class Trial:
    """One recipe and what came of it.

    Attributes:
        number: From 1.
        recipe: What was tried.
        accuracy: The metric's value; ``None`` if the trial failed. An estimate if it was rejected
            early; what is accepted was evaluated on all samples.
        accepted: Whether the accuracy meets the goal.
        objectives: Measured objectives by name.
        status: ``"ok"``; ``"rejected_early"`` if the evaluation ended where the goal was out of
            reach; or how it failed; ``"cached"`` if an equal recipe was tried before.
        seconds: Wall time of the whole trial.
        eval_seconds: The part of ``seconds`` that evaluation took.
        samples: Evaluated samples.
        error: What went wrong, for failed trials.
        forecast: What the strategy expected before; ``None`` if it said nothing.
        from_cache: Whether the evaluation is that of an earlier run on the same model, data and
            metric; ``samples`` were seen then.
    """

    number: int
    recipe: Recipe
    accuracy: float | None = None
    accepted: bool = False
    objectives: Mapping[str, float] = field(default_factory=dict)
    status: Status = "ok"
    seconds: float = 0.0
    eval_seconds: float = 0.0
    samples: int = 0
    error: str = ""
    forecast: Forecast | None = None
    from_cache: bool = False

    def speedup(self, baseline: Baseline) -> float | None:
        """Return the float model's latency by this one's; ``None`` if they were not measured."""
        own, reference = self.objectives.get(LATENCY), baseline.objectives.get(LATENCY)
        return reference / own if own and reference else None

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain values."""
        fields = dict(vars(self))
        fields["recipe"] = self.recipe.to_json()
        fields["objectives"] = dict(self.objectives)
        fields["forecast"] = None if self.forecast is None else dict(vars(self.forecast))
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Trial:
        """Inverse of ``to_json``."""
        forecast = fields.get("forecast")
        return cls(
            **{
                **fields,
                "recipe": Recipe.from_json(fields["recipe"]),
                "forecast": None if forecast is None else Forecast(**forecast),
            }
        )


def attainable(bound: float | None, measured: float | None, expected: float | None) -> float | None:
    """Return the largest speed-up still thought possible, in terms of what was measured.

    A strategy adds up times of single ops, whole models are measured: what it expected of the best
    trial says how the two compare. What was measured is possible in any case.

    Args:
        bound: As the strategy said it.
        measured: The speed-up of the best trial, if there is one that was timed.
        expected: What the strategy expected of that trial.
    """
    if bound is None or measured is None:
        return bound
    return max(measured, bound * measured / expected if expected else bound)


@dataclass(frozen=True)
class TuningResult:
    """What a search found.

    Attributes:
        baseline: The float model's evaluation.
        trials: Every trial in the order of its number.
        best: The accepted trial with the best objective; ``None`` if none was accepted.
        stopped_by: Why the search ended.
        threshold: The worst accuracy that the goal allows; ``None`` without evaluation data.
        higher_is_better: Direction of the metric.
        message: Why it stopped, in words for the user.
        history_complete: Whether the journal holds everything; false if it could not be written.
        bound: The largest speed-up that the strategy still thought possible at the end; ``None`` if
            it said nothing.
    """

    baseline: Baseline
    trials: tuple[Trial, ...]
    best: Trial | None
    stopped_by: StopReason
    threshold: float | None = None
    higher_is_better: bool = True
    message: str = ""
    history_complete: bool = True
    bound: float | None = None

    @property
    def samples(self) -> int:
        """How many samples were evaluated, what earlier runs had evaluated apart."""
        parts: tuple[Baseline | Trial, ...] = (self.baseline, *self.trials)
        return sum(part.samples for part in parts if not part.from_cache)

    @property
    def seconds(self) -> float:
        """Wall time of all evaluations and trials of this run, resumed ones included."""
        spent = 0.0 if self.baseline.from_cache else self.baseline.seconds
        return spent + sum(trial.seconds for trial in self.trials)

    @property
    def evaluation_seconds(self) -> float:
        """Return the wall time of all evaluations, those that were found in the cache included."""
        return self.baseline.seconds + sum(trial.eval_seconds for trial in self.trials)

    def best_seen(self) -> Trial | None:
        """Return the accepted best, else the finished trial of best accuracy, else ``None``.

        What was evaluated on all samples goes before what has an estimate.
        """
        if self.best is not None:
            return self.best
        finished = [trial for trial in self.trials if trial.accuracy is not None]
        finished = [trial for trial in finished if trial.status == "ok"] or finished
        sign = 1.0 if self.higher_is_better else -1.0
        return max(finished, key=lambda trial: sign * (trial.accuracy or 0.0), default=None)
