"""``ProcessRunner``: trials in child processes, side by side, that may crash or hang."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace

from inc_core.errors import CalibrationError, DataError
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.contract import Ask, Outcome, Terms
from inc_core.tuning.runner.crew import Crew, Event, Lost, Unstarted
from inc_core.tuning.runner.limits import Limits, trial_seconds
from inc_core.tuning.runner.payload import write_calibration, write_job
from inc_core.tuning.runner.worker import Worker
from inc_core.tuning.trial import Trial
from inc_core.tuning.trial_run import failed_trial, measure_objectives, wants_objectives

__all__ = ["ProcessRunner"]

logger = logging.getLogger("inc_core.tuning")

RAISED = {error.__name__: error for error in (CalibrationError, DataError)}


class ProcessRunner:
    """Runs trials in fresh interpreters, which are kept from trial to trial.

    A trial that is too slow is killed. One whose process died, or had too little memory, is tried
    once more, in a fresh process and alone, before that is its outcome. Objectives are measured in
    this process while no trial runs, so that latency is that of the whole machine.

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
        try:
            yield from _Board(job, self._crew, iter(asks)).outcomes()
        finally:
            if self._crew is not None:
                self._crew.stop_busy()

    def close(self) -> None:
        """End every process."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()

    def _open(self, job: TuningJob, terms: Terms) -> Crew:
        limits = Limits.of(
            self.workers,
            seconds=trial_seconds(self.trial_timeout, terms.baseline.seconds, self.workers),
            memory_mb=self.memory_limit_mb,
            threads=job.adaptor.context.threads,
        )
        crew = Crew(self.workers, limits)
        try:
            write_job(crew.folder, job, terms, limits.threads)
        except BaseException:
            crew.close()
            raise
        return crew


@dataclass(eq=False)
class _Task:
    """One ask on its way."""

    ask: Ask
    started: float
    first_loss: Lost | None = None
    outcome: Outcome | None = None


class _Board:
    """Who does what, for one batch of asks."""

    def __init__(self, job: TuningJob, crew: Crew, asks: Iterator[Ask]) -> None:
        self._job = job
        self._crew = crew
        self._asks = asks
        self._order: deque[_Task] = deque()
        self._running: dict[Worker, _Task] = {}
        self._again: deque[_Task] = deque()  # lost once: tried once more with nothing beside
        self._accepted: deque[tuple[_Task, Trial]] = deque()  # measured while nothing runs

    def outcomes(self) -> Iterator[Outcome]:
        """Yield every outcome in the order of asks."""
        self._dispatch()
        while self._order:
            outcome = self._order[0].outcome
            if outcome is not None:
                self._order.popleft()
                yield outcome
            else:
                for event in self._crew.events():
                    self._note(event)
            self._dispatch()

    def _dispatch(self) -> None:
        """Start what can start now; what needs quiet goes first, when the running ones are done."""
        if self._accepted or self._again:
            if self._running:
                return
            if self._accepted:
                self._measure(*self._accepted.popleft())
            else:
                self._send(self._again.popleft())
            return
        if any(task.first_loss for task in self._running.values()):
            return
        while len(self._running) < self._crew.slots:
            ask = next(self._asks, None)
            if ask is None:
                return
            self._begin(_Task(ask, self._job.clock()))

    def _begin(self, task: _Task) -> None:
        self._order.append(task)
        number, recipe, _ = task.ask
        try:
            # cheap but for the first of an option set: what was computed is kept
            calibration = self._job.builder.calibration(recipe)
        except Exception as error:  # noqa: BLE001 - a recipe's fault is its outcome, as in run_trial
            seconds = self._job.clock() - task.started
            task.outcome = failed_trial(number, recipe, error, seconds), None
            return
        write_calibration(self._crew.folder, recipe, calibration)
        self._send(task)

    def _send(self, task: _Task) -> None:
        worker = self._crew.start(task.ask, alone=task.first_loss is not None)
        self._running[worker] = task

    def _note(self, event: Event) -> None:
        task = self._running.pop(event.worker)
        if isinstance(event, Unstarted):
            self._send(task)  # it did not run there: that was no try
        elif isinstance(event, Lost):
            self._lose(task, event)
        elif event.reply["event"] == "raised":
            raise RAISED[event.reply["type"]](event.reply["message"])
        else:
            trial = Trial(recipe=task.ask.recipe, **event.reply["trial"])
            if trial.status == "oom":
                self._crew.dismiss(event.worker)  # what it allocated may not come back
                self._lose(task, Lost(event.worker, "oom", trial.error))
            else:
                self._finish(task, trial)

    def _finish(self, task: _Task, trial: Trial) -> None:
        beside = self._crew.slots > 1
        if beside and task.first_loss is not None and task.first_loss.status == "oom":
            self._crew.slots -= 1
            logger.info("memory is short: %d at a time from now on", self._crew.slots)
        if trial.status == "failed":
            logger.warning("trial %d failed: %s", trial.number, trial.error)
        if trial.accepted and wants_objectives(self._job):
            self._accepted.append((task, trial))
        else:
            task.outcome = trial, None

    def _measure(self, task: _Task, trial: Trial) -> None:
        """Measure the objectives of an accepted trial, which needs its model in this process."""
        job, start = self._job, self._job.clock()
        assert trial.accuracy is not None
        try:
            built = job.builder.build(trial.recipe)
            objectives = measure_objectives(job, built[0], trial.accuracy)
        except Exception as error:  # noqa: BLE001 - as in run_trial
            seconds = trial.seconds + job.clock() - start
            task.outcome = failed_trial(trial.number, trial.recipe, error, seconds), None
            return
        seconds = trial.seconds + job.clock() - start
        task.outcome = replace(trial, objectives=objectives, seconds=seconds), built

    def _lose(self, task: _Task, loss: Lost) -> None:
        number, recipe, _ = task.ask
        if task.first_loss is None and loss.status != "timeout":
            logger.warning("trial %d: %s; it runs once more, alone", number, loss.error)
            task.first_loss = loss
            self._again.append(task)
            return
        logger.warning("trial %d %s: %s", number, loss.status, loss.error)
        seconds = self._job.clock() - task.started
        trial = Trial(number, recipe, status=loss.status, seconds=seconds, error=loss.error)
        task.outcome = trial, None
