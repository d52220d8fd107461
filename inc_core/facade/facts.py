"""What is known of a tuned model at the end of a run, as plain values: ``inc.json``, the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from inc_core.facade.session import Session
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.tuning.measure import size_on_disk
from inc_core.tuning.speed import LatencyComparison, compare_latency
from inc_core.tuning.story import rows_of
from inc_core.tuning.trial import LATENCY, Baseline, Trial, TuningResult

__all__ = ["as_float", "compare_speed", "gather_facts"]

logger = logging.getLogger("inc_core.tuning")

BYTES_PER_MB = 1_000_000


def gather_facts(
    session: Session,
    result: TuningResult,
    trial: Trial,
    model: Any,
    float_reasons: Mapping[str, str],
    latency: LatencyComparison | None,
) -> dict[str, Any]:
    """Return accuracy, latency, size and the fate of every op, ready for JSON."""
    adaptor = session.opened.adaptor
    return {
        "model": session.config.model.name,
        "framework": session.opened.framework,
        "approach": session.config.quantization.approach,
        "goal_met": result.best is not None and result.baseline.accuracy is not None,
        "evaluated": result.baseline.accuracy is not None,
        "accuracy": {
            "baseline": result.baseline.accuracy,
            "final": trial.accuracy,
            "threshold": result.threshold,
            "higher_is_better": result.higher_is_better,
        },
        "latency": None if latency is None else latency.to_json(),
        "size_mb": _sizes(adaptor, session.opened.model, model),
        **({} if session.trained is None else session.trained.facts),
        "ops": _precisions(trial.recipe),
        "float_ops": dict(float_reasons),
        "search": {
            "trials": len(result.trials),
            "from_cache": sum(t.from_cache for t in result.trials),
            "chosen": trial.number,
            "samples": result.samples,
            "seconds": result.seconds,
            "stopped_by": result.stopped_by,
            "message": result.message,
            "history_complete": result.history_complete,
            "bound": result.bound,
            "baseline_seconds": result.baseline.objectives.get(LATENCY),
            "history": [dict(vars(row)) for row in rows_of(result.trials, result.baseline)],
        },
    }


def as_float(trial: Trial, space: TuningSpace, baseline: Baseline) -> Trial:
    """Return the trial as if its recipe had been the float model's."""
    met = baseline.accuracy is not None
    return replace(trial, recipe=space.all_float(), accuracy=baseline.accuracy, accepted=met)


def compare_speed(
    adaptor: Adaptor, model: Any, tuned: Any, sample: Any, max_seconds: float
) -> LatencyComparison | None:
    """Measure both models interleaved on one batch, for a bounded time; ``None`` without a batch."""
    if sample is None:
        return None

    def runs(native: Any) -> Callable[[], Any]:
        return lambda: adaptor.predict(native, sample)

    return compare_latency(runs(model), runs(tuned), max_seconds=max_seconds)


def _precisions(recipe: Recipe) -> dict[str, dict[str, int]]:
    """Return ops by type and precision, such as ``{"Conv": {"int8": 20, "fp32": 1}}``."""
    table: dict[str, dict[str, int]] = {}
    for op, config in recipe.ops.items():
        row = table.setdefault(op.type, {})
        row[config.precision] = row.get(config.precision, 0) + 1
    return table


def _sizes(adaptor: Adaptor, baseline: Any, final: Any) -> dict[str, float] | None:
    """Return the models' sizes in MB; ``None`` if there is no room to save them."""
    try:
        sizes = {"baseline": size_on_disk(adaptor, baseline), "final": size_on_disk(adaptor, final)}
    except OSError as error:  # a full disk is no reason to lose a model that was found
        logger.warning("the models' sizes are not known, they cannot be saved: %s", error)
        return None
    return {name: size / BYTES_PER_MB for name, size in sizes.items()}
