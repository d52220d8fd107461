"""Where trials would run: what a dry run finds out about it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from inc_core.facade.loaders import first_inputs
from inc_core.facade.runners import make_runner
from inc_core.facade.session import Session
from inc_core.strategies.basic import BasicStrategy
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner import DaskRunner, ProcessRunner, Terms
from inc_core.tuning.runner.payload import write_job, write_start
from inc_core.tuning.trial import Baseline

__all__ = ["check_runner"]

# Workers load the model meanwhile.
SURVEY_SECONDS = 120.0


def check_runner(session: Session) -> tuple[str, ...]:
    """Return where trials would run, and what is in the way, one line each.

    Raises:
        ConfigError: If the evaluation cannot be sent to another process.
        EngineLostError: If there is no scheduler.
        MissingFrameworkError: If the runner's own packages are not installed.
    """
    config = session.config.tuning
    if session.evaluator is None or config.exit_policy.performance_only:
        return ()
    job = TuningJob(
        adaptor=session.opened.adaptor,
        model=session.opened.model,
        space=session.space,
        strategy=BasicStrategy(),
        calibrate=None if session.calib_dataloader is None else session.calibrate,
        evaluator=session.evaluator,
        sample=first_inputs(session.eval_dataloader, session.calib_dataloader),
    )
    terms = Terms(Criterion(1.0), None, Baseline(1.0))  # only their kind matters here
    with closing(make_runner(config.runner)) as runner:
        if isinstance(runner, ProcessRunner):
            return _processes(runner, job, terms)
        if isinstance(runner, DaskRunner):
            return _workers(runner, job, terms)
    return ("in this process, one at a time; one that hangs or crashes takes the search with it",)


def _processes(runner: ProcessRunner, job: TuningJob, terms: Terms) -> tuple[str, ...]:
    with TemporaryDirectory(prefix="inc-check-") as folder:
        write_job(Path(folder), job, terms)
        limits = runner.limits(job, terms)
        write_start(Path(folder), limits.threads)
    memory = "" if limits.memory is None else f", up to {limits.memory / 1e6:.0f} MB each"
    threads = "" if limits.threads == 0 else f", {limits.threads} threads each"
    return (f"in {runner.workers} processes on this machine{threads}{memory}",)


def _workers(runner: DaskRunner, job: TuningJob, terms: Terms) -> tuple[str, ...]:
    found = runner.survey(job, terms, SURVEY_SECONDS)
    admitted = sum(not problems for problems in found.values())
    lines = [f"on {admitted} of {len(found)} workers of the Dask cluster at {runner.address}"]
    lines += [f"not on {name}: {problems}" for name, problems in found.items() if problems]
    lines.append("latency is measured on this machine")
    return tuple(lines)
