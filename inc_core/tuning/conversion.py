"""Without evaluation data there is no search: one conversion with the default recipe."""

from __future__ import annotations

from inc_core.tuning.job import TuningJob
from inc_core.tuning.trial import Baseline, Trial, TuningResult

__all__ = ["convert_once"]


def convert_once(job: TuningJob) -> TuningResult:
    """Build the default recipe without any evaluation; a failure is an error at once."""
    why = "performance_only is set" if job.evaluator is not None else "there is no evaluation data"
    job.say(f"Accuracy is not evaluated ({why}): one conversion with the default recipe.")
    recipe = job.space.default()
    start = job.clock()
    model, calibration = job.builder.build(recipe)
    job.builder.keep(recipe, model, calibration)
    trial = Trial(number=1, recipe=recipe, seconds=job.clock() - start)
    job.emit("inc_trial_finished", trial=trial)
    return TuningResult(
        baseline=Baseline(accuracy=None),
        trials=(trial,),
        best=trial,
        stopped_by="performance_only",
        message=f"{why}: one conversion, accuracy unknown",
        history_complete=job.journal.complete,
    )
