"""The last step of a search: the best accepted models, timed side by side.

During a search each accepted trial is timed on its own, minutes apart, on a machine that meanwhile
warmed up or got other work. That ranks them roughly. Which of the best is really the fastest is
measured at the end, interleaved, on the same converted models whose accuracy was evaluated on all
samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from inc_core.tuning.speed import Share, interleaved
from inc_core.tuning.trial import Trial

if TYPE_CHECKING:
    from inc_core.tuning.job import TuningJob
    from inc_core.tuning.policy import Ranking

__all__ = ["MOST", "finalists", "refined"]

WHAT = "finalists"

# More take longer than they can bring: single timings are rarely off by more than a few places.
MOST = 5
# Of the cost of the best one: a timing of half a second on a busy machine may be off by as much.
DOUBT = 0.15


@dataclass(frozen=True)
class _Timed:
    """What was measured of one finalist, relative to the first of them."""

    number: int
    share: Share


def finalists(job: TuningJob, ranking: Ranking, trials: Sequence[Trial]) -> list[Trial]:
    """Return the accepted trials that may be the best one, the best by the search's numbers first.

    Empty unless latency decides among several: by one of the user's objectives with a weight, and a
    sample to run.
    """
    if job.sample is None or not job.latencies:
        return []
    accepted = [t for t in trials if t.accepted and t.status != "cached" and t.objectives]
    ordered = sorted(accepted, key=ranking.order)
    if len(ordered) < 2:
        return []
    most = ranking.cost(ordered[0]) * (1.0 + DOUBT)
    found = [trial for trial in ordered[:MOST] if ranking.cost(trial) <= most]
    return found if len(found) > 1 else []


def refined(job: TuningJob, chosen: Sequence[Trial], max_seconds: float) -> list[Trial]:
    """Return the finalists with their latencies measured interleaved; journaled, so that it is once.

    Args:
        job: Builds the models; its journal may hold the answer.
        chosen: The finalists; latencies are expressed in that of the first.
        max_seconds: Bound of the comparison, in seconds.
    """
    timed = _recalled(job, chosen)
    if timed is None:
        timed = _measured(job, chosen, max_seconds)
        job.journal.append(
            "measured", what=WHAT, value=[[t.number, *vars(t.share).values()] for t in timed]
        )
    shares = {entry.number: entry.share for entry in timed}
    job.say(_line(timed))
    return [_with_latency(job, trial, chosen[0], shares) for trial in chosen]


def _recalled(job: TuningJob, chosen: Sequence[Trial]) -> list[_Timed] | None:
    numbers = [trial.number for trial in chosen]
    for fields in job.journal.of("measured"):
        if fields["what"] == WHAT and [row[0] for row in fields["value"]] == numbers:
            return [_Timed(number, Share(*rest)) for number, *rest in fields["value"]]
    return None


def _measured(job: TuningJob, chosen: Sequence[Trial], max_seconds: float) -> list[_Timed]:
    with job.console.doing(f"timing {len(chosen)} finalists side by side"):
        models = [job.builder.build(trial.recipe)[0] for trial in chosen]
        calls = [partial(job.adaptor.predict, model, job.sample) for model in models]
        shares = interleaved(calls, max_seconds=max_seconds)
    return [_Timed(trial.number, share) for trial, share in zip(chosen, shares, strict=True)]


def _with_latency(job: TuningJob, trial: Trial, first: Trial, shares: Mapping[int, Share]) -> Trial:
    measured = {
        name: shares[trial.number].median * first.objectives[name]
        for name in job.latencies
        if name in first.objectives
    }
    return replace(trial, objectives={**trial.objectives, **measured})


def _line(timed: Sequence[_Timed]) -> str:
    fastest = min(timed, key=lambda entry: entry.share.median)
    parts = [
        f"trial {t.number} {t.share.median / fastest.share.median:.3f}"
        for t in sorted(timed, key=lambda entry: entry.share.median)
    ]
    return f"Finalists side by side, time of the fastest = 1: {', '.join(parts)}"
