"""One trial: build, evaluate, measure; whatever the recipe breaks is the trial's outcome."""

from __future__ import annotations

import logging
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from inc_core.errors import CalibrationError, DataError, IncError
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.tuning.batch_seconds import BatchSeconds
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.evaluate import (
    Evaluation,
    MetricEvaluator,
    ScreeningEvaluator,
    checked_accuracy,
)
from inc_core.tuning.job import TuningJob
from inc_core.tuning.measure import ObjectiveRun
from inc_core.tuning.parts import Part, parts_between
from inc_core.tuning.sequential import Gate
from inc_core.tuning.trial import Status, Trial

__all__ = [
    "Built",
    "describe_error",
    "failed_trial",
    "measure_objectives",
    "reading",
    "run_part",
    "run_trial",
    "wants_objectives",
]

logger = logging.getLogger("inc_core.tuning")

# homes of code that is not the user's: the interpreter's own, installed packages, and this package
_INSTALLED = tuple(
    {
        *(
            Path(sysconfig.get_path(name))
            for name in ("stdlib", "platstdlib", "purelib", "platlib")
        ),
        Path(__file__).parents[1],
    }
)

Built: TypeAlias = tuple[Any, Calibration]


def run_trial(
    job: TuningJob, number: int, recipe: Recipe, criterion: Criterion, gate: Gate | None = None
) -> tuple[Trial, Built | None]:
    """Try one recipe; return the trial and, if it finished, the built model and calibration.

    With a gate the evaluation may end early, with an estimate; such a trial is never accepted.

    Raises:
        CalibrationError, DataError: In trial 1, where it is the data's fault and no recipe's.
    """
    start = job.clock()
    try:
        built = job.builder.build(recipe)
        evaluation = _evaluate(job, built[0], gate)
        accuracy = checked_accuracy(evaluation.accuracy)
        accepted = criterion.accepts(accuracy) and not evaluation.stopped_early
        timed = evaluation.batch_seconds
        objectives = measure_objectives(job, built[0], accuracy, timed) if accepted else {}
    except Exception as error:  # noqa: BLE001 - a failing trial is a result, kept with its cause
        return failed_trial(number, recipe, error, job.clock() - start), None
    trial = Trial(
        number=number,
        recipe=recipe,
        accuracy=accuracy,
        accepted=accepted,
        objectives=objectives,
        status="rejected_early" if evaluation.stopped_early else "ok",
        seconds=job.clock() - start,
        eval_seconds=evaluation.seconds,
        samples=evaluation.samples,
    )
    return trial, built


def run_part(
    job: TuningJob, number: int, recipe: Recipe, first: int, last: int
) -> tuple[Part, ...] | Trial:
    """Evaluate one recipe on some batches; return what each gives, or the trial that failed.

    The built model is kept: further parts of the trial find it.

    Raises:
        CalibrationError, DataError: As ``run_trial``.
    """
    start = job.clock()
    try:
        model, calibration = job.builder.build(recipe)
        job.builder.keep(recipe, model, calibration)
        assert isinstance(job.evaluator, MetricEvaluator)
        return tuple(parts_between(job.evaluator, model, first, last))
    except Exception as error:  # noqa: BLE001 - as in run_trial
        return failed_trial(number, recipe, error, job.clock() - start)


def failed_trial(number: int, recipe: Recipe, error: Exception, seconds: float) -> Trial:
    """Return the trial of a recipe that an error ended, and log it.

    Raises:
        CalibrationError, DataError: The error itself, in trial 1.
    """
    if number == 1 and isinstance(error, CalibrationError | DataError):
        raise error
    message = describe_error(error)
    status = _status_of(error)
    # at level debug with the whole traceback, for who has to find the cause
    logger.warning("trial %d %s: %s", number, status, message)
    logger.debug("trial %d", number, exc_info=error)
    return Trial(number, recipe, status=status, seconds=seconds, error=message)


def _evaluate(job: TuningJob, model: Any, gate: Gate | None) -> Evaluation:
    assert job.evaluator is not None
    if gate is not None and isinstance(job.evaluator, ScreeningEvaluator):
        return job.evaluator.screen(model, gate)
    return job.evaluator.evaluate(model)


def measure_objectives(
    job: TuningJob, model: Any, accuracy: float, timed: BatchSeconds | None = None
) -> dict[str, float]:
    """Measure every objective of a job on a model.

    Only where they can decide: with ``timeout: 0`` the first accepted trial wins whatever they are
    (unless the strategy has a stop rule of its own), and the final report measures it anyway.
    Without a sample only objectives are measured that say ``needs_sample = False``.
    """
    if not wants_objectives(job):
        return {}
    run = ObjectiveRun(job.adaptor, model, job.sample, accuracy, timed)
    return {
        name: checked_accuracy(objective.measure(run), f"objective {name!r}")
        for name, objective, _ in job.objectives
        if job.sample is not None or not getattr(objective, "needs_sample", True)
    }


def wants_objectives(job: TuningJob) -> bool:
    """Whether objectives can decide which accepted trial wins."""
    first_wins = job.exit_policy.timeout == 0 and not getattr(job.strategy, "own_stop_rule", False)
    return bool(job.objectives) and not first_wins


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Blame the data for what a user's dataset raises in the block; errors of ours pass.

    Args:
        what: What the data is for, such as ``"calibration"``.

    Raises:
        DataError: With cause and place.
    """
    try:
        yield
    except IncError:
        raise
    except Exception as error:
        raise DataError(
            f"the {what} data cannot be read: {describe_error(error)}. Check the dataset, its files "
            "and its transforms"
        ) from error


def describe_error(error: BaseException) -> str:
    """Return ``Type: message [at file:line in function]`` of where the error was raised.

    Where that is in an installed package, the last line of other code on the way follows: users look
    for their own line first.
    """
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return f"{type(error).__name__}: {text}"
    place = f"at {_place(frames[-1])}"
    own = next((frame for frame in reversed(frames) if not _is_installed(frame)), None)
    if own is not None and own is not frames[-1]:
        place += f", called at {_place(own)}"
    return f"{type(error).__name__}: {text} [{place}]"


def _place(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"


def _is_installed(frame: traceback.FrameSummary) -> bool:
    path = Path(frame.filename)
    return any(path.is_relative_to(home) for home in _INSTALLED)


def _status_of(error: BaseException) -> Status:
    # frameworks have their own classes for it, which the core does not know by name
    out_of_memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return "oom" if out_of_memory else "failed"
