"""``ProcessRunner``: trials in child processes, side by side, that may crash or hang."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.board import Board, Tally
from inc_core.tuning.runner.contract import Ask, Outcome, Terms
from inc_core.tuning.runner.crew import Crew
from inc_core.tuning.runner.limits import Limits, trial_seconds
from inc_core.tuning.runner.payload import write_job, write_start
from inc_core.tuning.runner.work import WholeWork, Work, division

__all__ = ["ProcessRunner"]


class ProcessRunner:
    """Runs trials in fresh interpreters, which are kept from trial to trial.

    A trial that is too slow is killed. One whose process died is tried once more, in a fresh process
    and alone, before that is its outcome; so is one that had too little memory, with its evaluation
    batches cut in two. Objectives are measured in this process while no trial runs, so that latency
    is that of the whole machine.

    Args:
        workers: How many trials run side by side.
        trial_timeout: Seconds that a trial may take; ``None``: 60 s, or five times the float
            model's evaluation (times ``workers``) if that is more.
        memory_limit_mb: Resident memory that a trial may use, in 10^6 bytes; ``None``: an equal
            share of what is free. Linux only.
    """

    def __init__(
        self,
        workers: int = 1,
        trial_timeout: float | None = None,
        memory_limit_mb: float | None = None,
    ) -> None:
        self.workers = workers
        self.trial_timeout = trial_timeout
        self.memory_limit_mb = memory_limit_mb
        self._crew: Crew | None = None
        self._make_work: Callable[[Ask], Work] = lambda ask: WholeWork()
        self._tally = Tally()

    def run(
        self, job: TuningJob, asks: Iterable[Ask], terms: Terms
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each ask, in the order of asks.

        Raises:
            ConfigError: If the evaluation cannot be sent to another process.
            EvaluationError: If the processes cannot start.
        """
        if self._crew is None:
            self._crew = self._open(job, terms)
            self._make_work = division(job, terms, self.workers)
        board = Board(job, self._crew, iter(asks), self._make_work, self._tally)
        try:
            yield from board.outcomes()
        finally:
            if self._crew is not None:
                board.stop()

    def limits(self, job: TuningJob, terms: Terms) -> Limits:
        """Return what each trial may use."""
        return Limits.of(
            self.workers,
            seconds=trial_seconds(self.trial_timeout, terms.baseline.seconds, self.workers),
            memory_mb=self.memory_limit_mb,
            threads=job.adaptor.context.threads,
        )

    def close(self) -> None:
        """End every process."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()

    def _open(self, job: TuningJob, terms: Terms) -> Crew:
        limits = self.limits(job, terms)
        crew = Crew(self.workers, limits)
        try:
            write_job(crew.folder, job, terms)
            write_start(crew.folder, limits.threads)
        except BaseException:
            crew.close()
            raise
        return crew
