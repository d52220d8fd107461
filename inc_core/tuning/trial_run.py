"""One trial: build, evaluate, measure; whatever the recipe breaks is the trial's outcome."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any, TypeAlias

from inc_core.errors import CalibrationError, DataError
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.evaluate import checked_accuracy
from inc_core.tuning.job import TuningJob
from inc_core.tuning.measure import ObjectiveRun
from inc_core.tuning.trial import Status, Trial

__all__ = ["describe_error", "measure_objectives", "run_trial"]

logger = logging.getLogger("inc_core.tuning")

Built: TypeAlias = tuple[Any, Calibration]


def run_trial(
    job: TuningJob, number: int, recipe: Recipe, criterion: Criterion
) -> tuple[Trial, Built | None]:
    """Try one recipe; return the trial and, if it finished, the built model and calibration.

    Raises:
        CalibrationError, DataError: In trial 1, where it is the data's fault and no recipe's.
    """
    start = job.clock()
    try:
        built = job.builder.build(recipe)
        assert job.evaluator is not None
        evaluation = job.evaluator.evaluate(built[0])
        accuracy = checked_accuracy(evaluation.accuracy)
        accepted = criterion.accepts(accuracy)
        objectives = measure_objectives(job, built[0], accuracy) if accepted else {}
    except Exception as error:  # a failing trial is a result, kept with its cause
        if number == 1 and isinstance(error, CalibrationError | DataError):
            raise
        message = describe_error(error)
        status = _status_of(error)
        # at level debug with the whole traceback, for who has to find the cause
        logger.warning("trial %d %s: %s", number, status, message)
        logger.debug("trial %d", number, exc_info=error)
        seconds = job.clock() - start
        return Trial(number, recipe, status=status, seconds=seconds, error=message), None
    trial = Trial(
        number=number,
        recipe=recipe,
        accuracy=accuracy,
        accepted=accepted,
        objectives=objectives,
        seconds=job.clock() - start,
        eval_seconds=evaluation.seconds,
        samples=evaluation.samples,
    )
    return trial, built


def measure_objectives(job: TuningJob, model: Any, accuracy: float) -> dict[str, float]:
    """Measure every objective of a job on a model.

    Only where they can decide: with ``timeout: 0`` the first accepted trial wins whatever they are,
    and the final report measures it anyway. Without a sample only objectives are measured that
    say ``needs_sample = False``.
    """
    if job.exit_policy.timeout == 0:
        return {}
    run = ObjectiveRun(job.adaptor, model, job.sample, accuracy)
    return {
        name: checked_accuracy(objective.measure(run), f"objective {name!r}")
        for name, objective, _ in job.objectives
        if job.sample is not None or not getattr(objective, "needs_sample", True)
    }


def describe_error(error: BaseException) -> str:
    """Return ``Type: message [at file:line in function]`` of where the error was raised."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    place = ""
    if frames:
        last = frames[-1]
        place = f" [at {Path(last.filename).name}:{last.lineno} in {last.name}]"
    return f"{type(error).__name__}: {text}{place}"


def _status_of(error: BaseException) -> Status:
    # frameworks have their own classes for it, which the core does not know by name
    out_of_memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return "oom" if out_of_memory else "failed"
