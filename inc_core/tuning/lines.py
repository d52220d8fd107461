"""The lines that a search prints as it goes; users of the original tool grep the first two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inc_core.tuning.criterion import Criterion
from inc_core.tuning.policy import Left
from inc_core.tuning.trial import Baseline, Trial, TuningResult, attainable

__all__ = [
    "baseline_line",
    "detail_lines",
    "left_parts",
    "noise_line",
    "standing",
    "standing_text",
    "stop_lines",
    "trial_line",
    "why",
]

STOPS: Mapping[str, str] = {
    "goal_met": "the accuracy goal was met",
    "exhausted": "the strategy had nothing more to try",
    "max_trials": "the number of trials was used up",
    "timeout": "the time was used up",
    "interrupted": "it was interrupted",
    "performance_only": "accuracy was not to be evaluated",
    "failures": "trials kept failing",
}


def baseline_line(baseline: Baseline) -> str:
    """Return the line of the float model."""
    return f"FP32 baseline is: {_brackets(_values(baseline))}"


def noise_line(baseline: Baseline, criterion: Criterion) -> str:
    """Return the line that tells of an evaluation that gives something else each time."""
    text = (
        f"The evaluation is not deterministic: its noise is {baseline.noise:.2g} (standard deviation). "
        f"The goal is tightened by {criterion.margin:.2g}, to {criterion.threshold:.4f}"
    )
    if criterion.allowed <= 0:
        text += ", which is no worse than the float model: evaluate more samples, or fix its seed"
    return text


def trial_line(trial: Trial, baseline: Baseline, best: Trial | None) -> str:
    """Return the line of one trial, with the best accepted one so far."""
    return (
        f"Tune {trial.number} result is: {_trial_values(trial, baseline)}, "
        f"Best tune result is: {'n/a' if best is None else _brackets(_values(best))}"
    )


def detail_lines(
    trial: Trial,
    baseline: Baseline,
    criterion: Criterion,
    best: Trial | None,
    bound: float | None,
    left: Left,
) -> Iterator[str]:
    """Yield what was found beside what was expected, then where the search stands."""
    if trial.accuracy is not None and trial.status != "cached":
        yield "  " + ", ".join(_findings(trial, baseline, criterion))
    yield "  " + "; ".join((standing(best, baseline, criterion, bound), *left_parts(left)))


def standing(
    best: Trial | None, baseline: Baseline, criterion: Criterion, bound: float | None
) -> str:
    """Return the best so far, and what is still thought possible."""
    if best is None:
        return standing_text(None, None, None, bound)
    assert best.accuracy is not None
    speedup = best.speedup(baseline)
    expected = None if best.forecast is None else best.forecast.speedup
    return standing_text(
        best.number, criterion.loss(best.accuracy), speedup, attainable(bound, speedup, expected)
    )


def standing_text(
    number: int | None, loss: float | None, speedup: float | None, bound: float | None
) -> str:
    """Return the same from numbers: those of the best trial, and the bound; ``None`` if unknown."""
    parts = [f"best: trial {number}" if number is not None else "best: none yet"]
    parts += [] if loss is None else [f"loss {loss:.4f}"]
    parts += [] if speedup is None else [f"{speedup:.2f}x"]
    possible = "" if bound is None else f"; thought possible: {bound:.2f}x"
    return ", ".join(parts) + possible


def stop_lines(result: TuningResult, criterion: Criterion) -> Iterator[str]:
    """Yield why a search stopped, and what it found at which cost."""
    yield f"Stopped because {why(result.stopped_by, result.message)}"
    known = sum(trial.from_cache for trial in result.trials)
    trials = f"{len(result.trials)} trial(s)" + (
        f", {known} known from earlier runs" if known else ""
    )
    cost = f"{trials}, {result.samples} samples evaluated, {result.seconds:.1f} s"
    yield f"  {standing(result.best, result.baseline, criterion, result.bound)}; {cost}"


def why(reason: str, message: str) -> str:
    """Return why a search stopped, in words."""
    text = STOPS.get(reason, reason)
    return f"{text}: {message}" if message else text


def _findings(trial: Trial, baseline: Baseline, criterion: Criterion) -> Iterator[str]:
    assert trial.accuracy is not None
    forecast, speedup = trial.forecast, trial.speedup(baseline)
    about = "about " if trial.status == "rejected_early" else ""
    loss = f"loss {about}{criterion.loss(trial.accuracy):.4f}"
    expected = (
        [] if forecast is None or forecast.loss is None else [f"{forecast.loss:.4f} expected"]
    )
    yield f"{loss} ({', '.join([*expected, f'{criterion.allowed:.4f} allowed'])})"
    predicted = None if forecast is None else forecast.speedup
    if speedup is not None:
        yield f"speed-up {speedup:.2f}x" + (f" ({predicted:.2f}x expected)" if predicted else "")
    elif predicted is not None:
        yield f"speed-up {predicted:.2f}x expected, not measured"
    if criterion.is_undecidable(trial.accuracy):
        yield "undecidable: nearer to the goal than the evaluation's noise"
    if trial.samples:
        yield f"{trial.samples} of {baseline.samples} samples"


def left_parts(left: Left) -> Iterator[str]:
    """Yield what may still be spent, if there is a limit."""
    parts = [] if left.trials is None else [f"{left.trials} trial(s)"]
    parts += [] if left.seconds is None else [f"{left.seconds:.0f} s"]
    if parts:
        yield f"left: {', '.join(parts)}"


def _trial_values(trial: Trial, baseline: Baseline) -> str:
    if trial.accuracy is None:
        return f"[{trial.status}: {trial.error}]"
    if trial.status == "cached":
        return f"[Accuracy: {trial.accuracy:.4f}, recipe tried before]"
    reference = _values(baseline)
    pairs = [
        f"{name} (int8|fp32): {value:.4f}|"
        + (f"{reference[name]:.4f}" if name in reference else "n/a")
        for name, value in _values(trial).items()
    ]
    if trial.from_cache:
        pairs.append("evaluated by an earlier run")
    if trial.status == "rejected_early":
        pairs.append(f"rejected after {trial.samples} of {baseline.samples} samples")
    return "[" + ", ".join(pairs) + "]"


def _values(outcome: Trial | Baseline) -> dict[str, float]:
    assert outcome.accuracy is not None
    seconds = outcome.eval_seconds if isinstance(outcome, Trial) else outcome.seconds
    return {
        "Accuracy": outcome.accuracy,
        "Duration (seconds)": seconds,
        **{f"Objective {name}": value for name, value in outcome.objectives.items()},
    }


def _brackets(values: dict[str, float]) -> str:
    return "[" + ", ".join(f"{name}: {value:.4f}" for name, value in values.items()) + "]"
