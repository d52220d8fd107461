"""The children of a process runner: started when needed, kept while healthy, killed at a limit."""

from __future__ import annotations

import contextlib
import queue
import re
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from inc_core.errors import EvaluationError
from inc_core.tuning.runner.contract import Ask
from inc_core.tuning.runner.limits import Limits
from inc_core.tuning.runner.worker import START_SECONDS, Answers, Worker

__all__ = ["Crew", "Event", "Finished", "Lost", "Unstarted"]

# How often limits are looked at: memory can grow by some 50 MB in between.
POLL_SECONDS = 0.02


class Finished(NamedTuple):
    """A child's answer."""

    worker: Worker
    reply: Mapping[str, Any]


class Lost(NamedTuple):
    """A child that died, or was killed at a limit, in a trial."""

    worker: Worker
    status: Literal["timeout", "oom", "crashed"]
    error: str


class Unstarted(NamedTuple):
    """A child, idle until then, that ended or stood still before it took up its trial."""

    worker: Worker


Event: TypeAlias = Finished | Lost | Unstarted


class Crew:
    """All children of one search; ``close`` ends them.

    Attributes:
        folder: Where the job lies; only this user can read it.
        slots: How many may work side by side.
    """

    def __init__(self, slots: int, limits: Limits) -> None:
        self.slots = slots
        self._limits = limits
        self._temporary = tempfile.TemporaryDirectory(prefix="inc-trials-")
        self.folder = Path(self._temporary.name)
        self._workers: list[Worker] = []
        self._answers: Answers = queue.SimpleQueue()
        self._started = 0
        self._proven = False  # some child has started without fault

    def start(self, ask: Ask, *, alone: bool = False) -> Worker:
        """Give a recipe to an idle child; one is started if there is none."""
        for worker in [worker for worker in self._workers if not worker.busy]:
            if not worker.alive:  # killed while it had nothing to do: that is no trial's fault
                self.dismiss(worker)
        idle = (worker for worker in self._workers if not worker.busy)
        worker = next(idle, None) or self._hire()
        worker.alone = alone
        worker.start(ask, self._limits.seconds)
        return worker

    def _hire(self) -> Worker:
        self._started += 1
        worker = Worker(self.folder, self._started, self._limits.threads, self._answers)
        self._workers.append(worker)
        return worker

    def dismiss(self, worker: Worker) -> int:
        """End a child; return its exit code."""
        if worker in self._workers:
            self._workers.remove(worker)
        return worker.kill()

    def stop_busy(self) -> None:
        """End the children whose trials nobody waits for any more."""
        for worker in [worker for worker in self._workers if worker.busy]:
            self.dismiss(worker)

    def close(self) -> None:
        """End every child and remove the files."""
        for worker in list(self._workers):
            self.dismiss(worker)
        self._temporary.cleanup()

    def events(self) -> Iterator[Event]:
        """Wait for a moment; yield what was finished, or lost, in it.

        Raises:
            EvaluationError: If no child could start so far.
        """
        for worker, reply in self._received():
            if worker not in self._workers:
                continue
            if reply is None and worker.busy:
                yield self._died(worker)
            elif reply is None:
                self.dismiss(worker)
            elif reply["event"] == "ready":
                self._proven = True
                worker.note_ready(reply["thread"])
            elif reply["event"] == "started":
                worker.note_begun()
            else:
                worker.busy = False
                yield Finished(worker, reply)
        for worker in list(self._workers):
            lost = self._beyond(worker)
            if lost is not None:
                yield lost

    def _received(self) -> Iterator[tuple[Worker, Mapping[str, Any] | None]]:
        with contextlib.suppress(queue.Empty):
            yield self._answers.get(timeout=POLL_SECONDS)
            while True:
                yield self._answers.get_nowait()

    def _beyond(self, worker: Worker) -> Lost | Unstarted | None:
        """End a child that is beyond a limit; return what it was."""
        if not worker.busy:
            return None
        if worker.late():
            self.dismiss(worker)
            if worker.untouched:
                return Unstarted(worker)
            limit = self._limits.seconds if worker.begun else START_SECONDS
            what = "result" if worker.begun else "start of its process"
            place = _place(worker.tail(), "Thread", last=True)
            return Lost(worker, "timeout", f"Timeout: no {what} within {limit:g} s{place}")
        limits = self._limits
        allowed = limits.memory_alone if worker.alone else limits.memory
        used = worker.resident()
        if allowed is not None and used > allowed:
            self.dismiss(worker)
            return Lost(
                worker, "oom",
                f"OutOfMemory: {used / 1e6:.0f} MB in use, {allowed / 1e6:.0f} MB are allowed",
            )  # fmt: skip
        # what a dead one has said comes first, then the end of its output
        return None if worker.alive or worker.may_speak() else self._died(worker)

    def _died(self, worker: Worker) -> Lost | Unstarted:
        worker.wait_for_end()
        code = self.dismiss(worker)
        if worker.untouched:
            return Unstarted(worker)
        tail = worker.tail()
        if not worker.ready and not self._proven:
            raise EvaluationError(
                f"a process for trials could not start ({_ending(code)}). Its last words:\n{tail}\n"
                "What it cannot import or load must be importable by a fresh interpreter; or set "
                "tuning.runner.name: inline."
            )
        where = _place(tail, "Current thread")
        return Lost(worker, "crashed", f"{_ending(code)}: the process of the trial died{where}")


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
