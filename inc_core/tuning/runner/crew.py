"""The children of a process runner: started when needed, kept while healthy, killed at a limit."""

from __future__ import annotations

import contextlib
import queue
import re
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inc_core.errors import EvaluationError
from inc_core.tuning.runner.engine import Done, Event, Failed, Place, Ticket, Unstarted
from inc_core.tuning.runner.limits import Limits
from inc_core.tuning.runner.preflight import RefusedError
from inc_core.tuning.runner.worker import START_SECONDS, Answers, Worker

__all__ = ["Crew"]

# How often limits are looked at: memory can grow by some 50 MB in between.
POLL_SECONDS = 0.02


class Crew:
    """An ``Engine`` of child processes on this machine; ``close`` ends them.

    Args:
        slots: How many may work side by side.
        limits: Of each.
        folder: Where the job lies, or will; only this user can read it. ``None`` makes a temporary
            one.
        host: Name of this machine.
    """

    many_machines = False

    def __init__(
        self, slots: int, limits: Limits, folder: Path | None = None, host: str = "here"
    ) -> None:
        self._limits = limits
        self._temporary = tempfile.TemporaryDirectory(prefix="inc-trials-") if not folder else None
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self._places = [Place(f"process {number}", host) for number in range(1, slots + 1)]
        self._workers: dict[Place, Worker] = {}
        self._tickets: dict[Place, Ticket] = {}
        self._answers: Answers = queue.SimpleQueue()
        self._started = 0
        self._proven = False  # some child has started without fault

    def places(self) -> Sequence[Place]:
        """Return every slot."""
        return self._places

    def is_here(self, place: Place) -> bool:
        """All are."""
        return True

    def warm(self, place: Place) -> int:
        """Start the child of a slot and wait until it has loaded the job; return its memory in bytes.

        Raises:
            EvaluationError: If it cannot start.
            RefusedError: If it finds that this machine would not give the same accuracies.
        """
        worker = self._hire(place)
        while not worker.ready:
            for other, reply in self._received():
                if other is worker and reply is None:
                    worker.wait_for_end()
                    raise _no_start(_ending(self._dismiss(place)), worker.tail())
                if other is worker and reply is not None:
                    self._greet(worker, reply)
            if worker.late():
                self._dismiss(place)
                raise _no_start(f"not ready after {START_SECONDS:g} s", worker.tail())
        return worker.resident()

    def _greet(self, worker: Worker, reply: Mapping[str, Any]) -> None:
        """Note the first answer of a child."""
        if reply["event"] == "refused":
            raise RefusedError(reply["problems"])
        self._proven = True
        worker.note_ready(reply["thread"])

    def send(self, place: Place, ticket: Ticket) -> None:
        """Give a ticket to the child of a slot; it is started if there is none."""
        worker = self._workers.get(place)
        if worker is not None and not worker.alive:
            # killed while it had nothing to do: that is no trial's fault
            self._dismiss(place)
            worker = None
        self._tickets[place] = ticket
        worker = worker or self._hire(place)
        worker.start(ticket.to_json(), self._limits.seconds)

    def _hire(self, place: Place) -> Worker:
        self._started += 1
        worker = Worker(self.folder, self._started, self._limits.threads, self._answers)
        self._workers[place] = worker
        return worker

    def _dismiss(self, place: Place) -> int:
        """End the child of a slot; return its exit code."""
        return self._workers.pop(place).kill()

    def stop(self, place: Place) -> None:
        """End the child of a slot: nobody waits for its trial any more."""
        self._tickets.pop(place, None)
        if place in self._workers:
            self._dismiss(place)

    def narrow(self, place: Place) -> bool:
        """Use one slot less."""
        if len(self._places) == 1:
            return False
        idle = next(other for other in reversed(self._places) if other not in self._tickets)
        self.stop(idle)
        self._places = [other for other in self._places if other != idle]
        return True

    def close(self) -> None:
        """End every child and remove the files."""
        for place in list(self._workers):
            self.stop(place)
        if self._temporary is not None:
            self._temporary.cleanup()

    def events(self) -> Iterator[Event]:
        """Wait for a moment; yield what was finished, or lost, in it.

        Raises:
            EvaluationError: If no child could start so far.
        """
        for worker, reply in self._received():
            place = self._place_of(worker)
            if place is None:
                continue
            if reply is None and worker.busy:
                yield self._died(place)
            elif reply is None:
                self._dismiss(place)
            elif reply["event"] in ("ready", "refused"):
                self._greet(worker, reply)
            elif reply["event"] == "started":
                worker.note_begun()
            else:
                worker.busy = False
                yield self._answered(place, reply)
        for place in list(self._workers):
            lost = self._beyond(place)
            if lost is not None:
                yield lost

    def _place_of(self, worker: Worker) -> Place | None:
        return next((place for place, other in self._workers.items() if other is worker), None)

    def _answered(self, place: Place, reply: Mapping[str, Any]) -> Event:
        ticket = self._tickets.pop(place)
        trial = reply.get("trial")
        if trial is None or trial["status"] != "oom":
            return Done(place, ticket, reply)
        self._dismiss(place)  # what it allocated may not come back
        return Failed(place, ticket, "oom", trial["error"])

    def _received(self) -> Iterator[tuple[Worker, Mapping[str, Any] | None]]:
        with contextlib.suppress(queue.Empty):
            yield self._answers.get(timeout=POLL_SECONDS)
            while True:
                yield self._answers.get_nowait()

    def _beyond(self, place: Place) -> Event | None:
        """End a child that is beyond a limit; return what it was."""
        worker = self._workers[place]
        if not worker.busy:
            return None
        if worker.late():
            return self._late(place)
        ticket, limits = self._tickets[place], self._limits
        allowed = limits.memory_alone if ticket.alone else limits.memory
        used = worker.resident()
        if allowed is not None and used > allowed:
            self.stop(place)
            error = f"OutOfMemory: {used / 1e6:.0f} MB in use, {allowed / 1e6:.0f} MB are allowed"
            return Failed(place, ticket, "oom", error)
        # what a dead one has said comes first, then the end of its output
        return None if worker.alive or worker.may_speak() else self._died(place)

    def _late(self, place: Place) -> Event:
        worker, ticket = self._workers[place], self._tickets[place]
        self.stop(place)
        if worker.untouched:
            return Unstarted(place, ticket)
        limit = self._limits.seconds if worker.begun else START_SECONDS
        what = "result" if worker.begun else "start of its process"
        where = _place(worker.tail(), "Thread", last=True)
        return Failed(place, ticket, "timeout", f"Timeout: no {what} within {limit:g} s{where}")

    def _died(self, place: Place) -> Event:
        worker, ticket = self._workers[place], self._tickets.pop(place)
        worker.wait_for_end()
        code = self._dismiss(place)
        if worker.untouched:
            return Unstarted(place, ticket)
        tail = worker.tail()
        if not worker.ready and not self._proven:
            raise _no_start(_ending(code), tail)
        where = _place(tail, "Current thread")
        error = f"{_ending(code)}: the process of the trial died{where}"
        return Failed(place, ticket, "crashed", error)


def _no_start(how: str, last_words: str) -> EvaluationError:
    return EvaluationError(
        f"a process for trials could not start ({how}). Its last words:\n{last_words}\n"
        "What it cannot import or load must be importable by a fresh interpreter; or set "
        "tuning.runner.name: inline."
    )


def _ending(code: int) -> str:
    """Return how a process ended in one word, such as ``SIGSEGV``."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):  # a signal without a name
        return signal.Signals(-code).name
    return f"signal {-code}"


def _place(stacks: str, thread: str, *, last: bool = False) -> str:
    """Return `` [at file:line in function]`` of a thread's innermost frame; empty if unknown."""
    blocks = stacks.split(thread)[1:]
    frame = (
        re.search(r'File "([^"]+)", line (\d+) in (\S+)', blocks[-1 if last else 0])
        if blocks
        else None
    )
    return f" [at {Path(frame[1]).name}:{frame[2]} in {frame[3]}]" if frame else ""
