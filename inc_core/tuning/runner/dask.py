"""``DaskRunner``: trials on the workers of a Dask cluster that the user runs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from inc_core.errors import EngineLostError
from inc_core.machine import usable_cores
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.board import Board, Tally
from inc_core.tuning.runner.bundle import Bundle
from inc_core.tuning.runner.cluster import Cluster
from inc_core.tuning.runner.contract import Ask, Outcome, Terms
from inc_core.tuning.runner.crew import Crew
from inc_core.tuning.runner.engine import Engine
from inc_core.tuning.runner.host import Plan
from inc_core.tuning.runner.limits import Limits, trial_seconds
from inc_core.tuning.runner.link import Address
from inc_core.tuning.runner.payload import write_job, write_start_elsewhere
from inc_core.tuning.runner.preflight import expectations
from inc_core.tuning.runner.work import WholeWork, Work, division

__all__ = ["DaskRunner"]

logger = logging.getLogger("inc_core.tuning")


class DaskRunner:
    """Runs trials on the workers of an existing Dask cluster; it never starts or ends one.

    Each worker runs one trial at a time, in a child process that may crash, hang or run out of
    memory. A worker that would not give the same accuracies as this machine is refused. One that is
    lost costs nothing but time; a trial that takes two with it is recorded as crashed. Objectives
    such as latency are measured in this process, on this machine, so they can be compared.

    Args:
        address: Where the scheduler is.
        workers: How many trials a search may propose side by side; if all workers are lost, as many
            run here.
        trial_timeout: Seconds that a trial may take; ``None`` as with ``ProcessRunner``.
        memory_limit_mb: Resident memory that a trial may use, in 10^6 bytes; ``None``: what the
            worker's machine has free, and what Dask allows the worker.
        reconnect_seconds: How long a lost scheduler, or any worker, is waited for.
        on_loss: What happens then. ``local``: the rest runs in processes here. ``pause``: the search
            ends with its best so far, and may be taken up later. ``fail``: an error.
    """

    def __init__(
        self,
        address: Address,
        workers: int = 1,
        trial_timeout: float | None = None,
        memory_limit_mb: float | None = None,
        *,
        reconnect_seconds: float = 300.0,
        on_loss: Literal["local", "pause", "fail"] = "local",
    ) -> None:
        self.address = address
        self.workers = workers
        self.trial_timeout = trial_timeout
        self.memory_limit_mb = memory_limit_mb
        self.reconnect_seconds = reconnect_seconds
        self.on_loss = on_loss
        self._make_work: Callable[[Ask], Work] = lambda ask: WholeWork()
        self._tally = Tally()
        self._engine: Engine | None = None
        self._open = ExitStack()

    def run(
        self, job: TuningJob, asks: Iterable[Ask], terms: Terms
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each ask, in the order of asks.

        Raises:
            EngineLostError: If there is no scheduler at the start; or it, or every worker, was lost
                and ``on_loss`` is not ``local``.
            ConfigError: If the evaluation cannot be sent to another process.
            MissingFrameworkError: If Dask is not installed.
        """
        if self._engine is None:
            self._engine = self._start(job, terms)
            self._make_work = division(job, terms, self.workers)
        board = self._board(job, self._engine, asks)
        try:
            yield from board.outcomes()
        except EngineLostError as error:
            yield from self._go_on(job, board, terms, error)
        finally:
            if self._engine is not None:
                board.stop()

    def survey(self, job: TuningJob, terms: Terms, seconds: float) -> Mapping[str, str]:
        """Prepare every worker as for a search; return why each is refused, empty if it is not.

        Raises:
            EngineLostError, ConfigError, MissingFrameworkError: As ``run``.
        """
        return self._start(job, terms).survey(seconds)

    def close(self) -> None:
        """Leave the cluster as it was, without what this search needed."""
        self._engine = None
        self._open.close()

    def _board(self, job: TuningJob, engine: Engine, asks: Iterable[Ask]) -> Board:
        return Board(job, engine, iter(asks), self._make_work, self._tally)

    def _start(self, job: TuningJob, terms: Terms) -> Cluster:
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="inc-job-")))
        sent = write_job(folder, job, terms, portable=True)
        if sent:
            logger.info(
                "workers get the code of %s, which belongs to no installed package: less "
                "reproducible than a package that they import", ", ".join(sorted(sent)),
            )  # fmt: skip
        plan = Plan(
            expects=expectations(job.adaptor),
            baseline_seconds=terms.baseline.seconds,
            cores=job.adaptor.context.threads or usable_cores(),
            trial_timeout=self.trial_timeout,
            memory_limit_mb=self.memory_limit_mb,
        )
        cluster = Cluster(self.address.connect, Bundle(folder), plan, self.reconnect_seconds)
        self._open.callback(cluster.close)
        return cluster

    def _go_on(
        self, job: TuningJob, board: Board, terms: Terms, error: EngineLostError
    ) -> Generator[Outcome, None, None]:
        """Do what ``on_loss`` says with the rest of the asks."""
        if self.on_loss != "local":
            what = "the search is paused; start it again" if self.on_loss == "pause" else "start it"
            raise EngineLostError(
                f"{error} ({self.address}). What finished is in the journal: {what} to take it up, "
                "when the cluster is back or with another tuning.runner.",
                paused=self.on_loss == "pause",
            ) from error
        logger.warning("%s (%s): the rest runs in processes on this machine", error, self.address)
        engine = self._engine = self._crew(job, terms)
        rest = self._board(job, engine, board.left())
        try:
            yield from board.outcomes_with(rest)
        finally:
            rest.stop()

    def _crew(self, job: TuningJob, terms: Terms) -> Crew:
        """Return processes on this machine for the job that was written for others."""
        assert self._engine is not None
        workers = min(self.workers, usable_cores())
        limits = Limits.of(
            workers,
            seconds=trial_seconds(self.trial_timeout, terms.baseline.seconds, workers),
            memory_mb=self.memory_limit_mb,
            threads=job.adaptor.context.threads,
        )
        write_start_elsewhere(self._engine.folder, limits.threads, expectations(job.adaptor))
        crew = Crew(workers, limits, self._engine.folder)
        self._open.callback(crew.close)
        return crew
