"""An evaluation in smaller batches, for a model that ran out of memory."""

from __future__ import annotations

from dataclasses import replace

from inc_core.tuning.evaluate import MetricEvaluator
from inc_core.tuning.job import TuningJob

__all__ = ["in_pieces"]


def in_pieces(job: TuningJob, pieces: int) -> TuningJob:
    """Return a job whose evaluation cuts each batch into so many; a user's own function cannot."""
    if pieces == 1 or not isinstance(job.evaluator, MetricEvaluator):
        return job
    return replace(job, evaluator=job.evaluator.in_pieces(pieces))
