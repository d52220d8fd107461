"""``Board``: which trial runs where; what is tried again, copied, merged and measured."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, count
from statistics import median
from typing import Any

from inc_core.errors import CalibrationError, DataError
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.contract import Ask, Outcome
from inc_core.tuning.runner.engine import Done, Engine, Event, Failed, Gone, Place, Span, Ticket
from inc_core.tuning.runner.payload import write_calibration
from inc_core.tuning.runner.work import Work
from inc_core.tuning.trial import Trial
from inc_core.tuning.trial_run import failed_trial, measure_objectives, wants_objectives

__all__ = ["Board", "Tally"]

logger = logging.getLogger("inc_core.tuning")

RAISED = {error.__name__: error for error in (CalibrationError, DataError)}

# What takes this many times the usual time is started elsewhere too, if a place is free. Below some
# seconds the copy would come too late.
STRAGGLES = 3.0
STRAGGLES_SECONDS = 5.0

# The usual time is not known before; the last ones say it best.
FEWEST_TIMES = 3
TIMES_KEPT = 50

# As many different places lost in one trial are the trial's fault.
POISON = 2

# An evaluation that ran out of memory runs again with its batches cut in two.
PIECES_AFTER_OOM = 2


@dataclass
class Tally:
    """What boards of one search know of those before them.

    Attributes:
        attempts: Numbers of tickets, never the same.
        seconds: How long the last ones took.
    """

    attempts: Iterator[int] = field(default_factory=lambda: count(1))
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=TIMES_KEPT))


@dataclass(eq=False)
class _Task:
    """One ask on its way.

    Attributes:
        avoid: Names of places where it went wrong.
        lost: Names of those that were lost with it.
        failure: What went wrong in its process, the first time.
    """

    ask: Ask
    started: float
    work: Work
    avoid: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    failure: Failed | None = None
    finished: bool = False
    outcome: Outcome | None = None


@dataclass(eq=False)
class _Unit:
    """What runs at one place: a task, or a part of its evaluation."""

    task: _Task
    span: Span | None
    reply: Any = None  # the first one

    @property
    def settled(self) -> bool:
        """Whether nobody waits for it."""
        return self.reply is not None or self.task.finished


@dataclass(eq=False)
class _Run:
    """A unit at a place."""

    unit: _Unit
    ticket: Ticket
    started: float


class Board:
    """Who does what, for one batch of asks.

    Args:
        job: What is searched.
        engine: Where trials run.
        asks: Taken one by one, each when its trial starts.
        make_work: Says how the evaluation of an ask is divided.
        tally: Kept from board to board.
    """

    def __init__(
        self,
        job: TuningJob,
        engine: Engine,
        asks: Iterator[Ask],
        make_work: Callable[[Ask], Work],
        tally: Tally,
    ) -> None:
        self._job = job
        self._engine = engine
        self._asks = asks
        self._make_work = make_work
        self._tally = tally
        self._exhausted = False  # there is no further ask
        self._order: deque[_Task] = deque()
        self._waiting: deque[_Unit] = deque()
        self._running: dict[Place, _Run] = {}
        self._accepted: deque[tuple[_Task, Trial]] = deque()  # measured while it is quiet here

    def outcomes(self) -> Iterator[Outcome]:
        """Yield every outcome in the order of asks."""
        self._dispatch()
        while self._order or not self._exhausted:
            outcome = self._order[0].outcome if self._order else None
            if outcome is not None:
                self._order.popleft()
                yield outcome
            else:
                for event in self._engine.events():
                    self._note(event)
            self._dispatch()

    def left(self) -> Iterator[Ask]:
        """Return the asks that have no outcome yet, then those that were not taken."""
        return chain([task.ask for task in self._order if task.outcome is None], self._asks)

    def outcomes_with(self, rest: Board) -> Iterator[Outcome]:
        """Yield every outcome in the order of asks; ``rest`` has what is ``left``."""
        others = rest.outcomes()
        while self._order:
            outcome = self._order.popleft().outcome or next(others)
            yield outcome
        yield from others

    def stop(self) -> None:
        """End everything that runs."""
        for place in list(self._running):
            self._drop(place)

    # where

    def _dispatch(self) -> None:
        """Start what can start now."""
        self._measure_if_quiet()
        closed = {place.host for place, run in self._running.items() if run.ticket.alone}
        if self._accepted:  # it shall become quiet here
            closed |= {place.host for place in self._engine.places() if self._engine.is_here(place)}
        for unit in list(self._waiting):
            place = self._place_for(unit, closed)
            if place is not None:
                self._waiting.remove(unit)
                self._send(unit, place, closed)
        while not self._exhausted and not self._waiting and self._free(closed):
            ask = next(self._asks, None)
            if ask is None:
                self._exhausted = True
                break
            self._begin(ask)
            for unit in list(self._waiting):
                place = self._place_for(unit, closed)
                if place is not None:
                    self._waiting.remove(unit)
                    self._send(unit, place, closed)
        if self._waiting:
            self._make_room()
        elif self._engine.many_machines:
            self._copy_straggler(closed)

    def _free(self, closed: set[str]) -> list[Place]:
        return [
            place
            for place in self._engine.places()
            if place not in self._running and place.host not in closed
        ]

    def _place_for(self, unit: _Unit, closed: set[str]) -> Place | None:
        """Return where a unit can start; a host is closed to others until it can run alone there."""
        places = self._engine.places()
        good = [place for place in places if place.name not in unit.task.avoid] or places
        alone = unit.task.failure is not None
        busy = {place.host for place in self._running}
        for place in self._free(closed):
            if place in good and not (alone and place.host in busy):
                return place
        if alone and good:
            closed.add(good[0].host)
        return None

    def _send(self, unit: _Unit, place: Place, closed: set[str]) -> None:
        task = unit.task
        alone = task.failure is not None
        halved = task.failure is not None and task.failure.status == "oom"
        ticket = Ticket(
            attempt=next(self._tally.attempts),
            ask=task.ask,
            span=unit.span,
            pieces=PIECES_AFTER_OOM if halved else 1,
            alone=alone,
        )
        if alone:
            closed.add(place.host)
        self._running[place] = _Run(unit, ticket, self._job.clock())
        self._engine.send(place, ticket)

    def _drop(self, place: Place) -> None:
        del self._running[place]
        self._engine.stop(place)

    def _make_room(self) -> None:
        """End the copies that nobody waits for."""
        for place, run in list(self._running.items()):
            if run.unit.settled:
                self._drop(place)

    def _copy_straggler(self, closed: set[str]) -> None:
        """Start a second copy of what takes far longer than usual; the first that ends counts."""
        free = self._free(closed)
        if not free or len(self._tally.seconds) < FEWEST_TIMES:
            return
        usual = max(STRAGGLES * median(self._tally.seconds), STRAGGLES_SECONDS)
        copies = [run.unit for run in self._running.values()]
        for run in list(self._running.values()):
            slow = self._job.clock() - run.started > usual
            if slow and free and not run.unit.settled and copies.count(run.unit) == 1:
                number = run.unit.task.ask.number
                logger.info("trial %d is slow: it is tried at %s too", number, free[0].name)
                self._send(run.unit, free.pop(0), closed)

    # what

    def _begin(self, ask: Ask) -> None:
        task = _Task(ask, self._job.clock(), self._make_work(ask))
        self._order.append(task)
        try:
            # cheap but for the first of an option set: what was computed is kept
            calibration = self._job.builder.calibration(ask.recipe)
        except Exception as error:  # noqa: BLE001 - a recipe's fault is its outcome, as in run_trial
            seconds = self._job.clock() - task.started
            self._end(task, failed_trial(ask.number, ask.recipe, error, seconds))
            return
        write_calibration(self._engine.folder, ask.recipe, calibration)
        self._waiting.extend(_Unit(task, span) for span in task.work.spans())

    def _note(self, event: Event) -> None:
        run = self._running.get(event.place)
        if run is None or run.ticket.attempt != event.ticket.attempt:
            return  # dropped before
        del self._running[event.place]
        unit = run.unit
        if isinstance(event, Done):
            self._answer(event, run)
        elif not unit.settled and unit not in [other.unit for other in self._running.values()]:
            if isinstance(event, Failed):
                self._fail(unit, event)
            else:
                if isinstance(event, Gone):
                    self._lose(unit, event)
                if not unit.settled:  # it did not end there: that was no try
                    self._waiting.appendleft(unit)

    def _answer(self, event: Done, run: _Run) -> None:
        unit, reply = run.unit, event.reply
        if reply["event"] == "raised":
            raise RAISED[reply["type"]](reply["message"])
        if unit.settled:
            if unit.reply is not None:
                _compare(unit.task.ask.number, unit.reply, reply)
            return
        self._tally.seconds.append(self._job.clock() - run.started)
        unit.reply = reply
        task = unit.task
        try:
            further = task.work.take(unit.span, reply)
        except Exception as error:  # noqa: BLE001 - of the metric whose parts are merged
            seconds = self._job.clock() - task.started
            self._end(task, failed_trial(task.ask.number, task.ask.recipe, error, seconds))
            return
        self._waiting.extend(_Unit(task, span) for span in further)
        trial = task.work.trial(task.ask)
        if trial is not None:
            self._finish(task, trial, event.place)

    def _finish(self, task: _Task, trial: Trial, place: Place) -> None:
        short = task.failure if task.failure and task.failure.status == "oom" else None
        if short and self._engine.narrow(place):
            count = sum(other.host == place.host for other in self._engine.places())
            logger.info("memory is short: %d at a time from now on", count)
        if short and trial.status == "failed":  # models of a fixed batch size, for example
            error = f"{short.error}; with smaller batches: {trial.error}"
            trial = replace(trial, status="oom", error=error)
        if trial.status == "failed":
            logger.warning("trial %d failed: %s", trial.number, trial.error)
        self._end(task, trial)

    def _end(self, task: _Task, trial: Trial) -> None:
        task.finished = True
        self._waiting = deque(unit for unit in self._waiting if unit.task is not task)
        if trial.accepted and wants_objectives(self._job):
            self._accepted.append((task, trial))
        else:
            task.outcome = trial, None

    def _measure_if_quiet(self) -> None:
        while self._accepted and not any(map(self._engine.is_here, self._running)):
            self._measure(*self._accepted.popleft())

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

    # what went wrong

    def _fail(self, unit: _Unit, event: Failed) -> None:
        """Try once more, alone and elsewhere if there is an elsewhere; or that is the outcome."""
        task, number = unit.task, unit.task.ask.number
        again = event.status != "timeout" or self._engine.many_machines
        if task.failure is None and again:
            how = ", with smaller batches" if event.status == "oom" else ""
            logger.warning("trial %d: %s; it runs once more, alone%s", number, event.error, how)
            task.failure = event
            task.avoid.add(event.place.name)
            self._waiting.appendleft(unit)
            return
        self._give_up(task, event)

    def _lose(self, unit: _Unit, event: Gone) -> None:
        task = unit.task
        task.lost.append(event.place.name)
        task.avoid.add(event.place.name)
        if len(task.lost) < POISON:
            logger.warning(
                "trial %d: %s was lost with it; it runs elsewhere", task.ask.number, task.lost[0]
            )
            return
        error = f"Poison: the workers {' and '.join(task.lost)} were lost, each while it ran there"
        self._give_up(task, Failed(event.place, event.ticket, "crashed", error))

    def _give_up(self, task: _Task, event: Failed) -> None:
        number, recipe, _ = task.ask
        logger.warning("trial %d %s: %s", number, event.status, event.error)
        seconds = self._job.clock() - task.started
        self._end(
            task, Trial(number, recipe, status=event.status, seconds=seconds, error=event.error)
        )
        for place, run in list(self._running.items()):
            if run.unit.task is task:
                self._drop(place)


def _compare(number: int, first: Any, second: Any) -> None:
    """Warn if two runs of one trial differ."""
    if "trial" not in first or "trial" not in second:
        return
    accuracies = [reply["trial"]["accuracy"] for reply in (first, second)]
    if accuracies[0] != accuracies[1]:
        logger.warning(
            "non-deterministic evaluation: trial %d ran twice, with accuracy %r and %r; the first "
            "counts", number, *accuracies,
        )  # fmt: skip
