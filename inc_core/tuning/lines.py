"""The lines that a search prints as it goes; users of the original tool grep them."""

from __future__ import annotations

from inc_core.tuning.trial import Baseline, Trial

__all__ = ["baseline_line", "trial_line"]


def baseline_line(baseline: Baseline) -> str:
    """Return the line of the float model."""
    return f"FP32 baseline is: {_brackets(_values(baseline))}"


def trial_line(trial: Trial, baseline: Baseline, best: Trial | None) -> str:
    """Return the line of one trial, with the best accepted one so far."""
    return (
        f"Tune {trial.number} result is: {_trial_values(trial, baseline)}, "
        f"Best tune result is: {'n/a' if best is None else _brackets(_values(best))}"
    )


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
