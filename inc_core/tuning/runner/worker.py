"""``Worker``: one child process as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

from inc_core.errors import ConfigError
from inc_core.tuning.runner.limits import resident_bytes, thread_environment

__all__ = ["START_SECONDS", "Answers", "Worker", "refuse_in_trial"]

CHILD_VARIABLE = "INC_TRIAL_PROCESS"

# Frameworks may take long to import, and large models to load.
START_SECONDS = 600.0

# A child that waits for a trial takes it up within milliseconds, even where memory is swapped.
TAKE_UP_SECONDS = 60.0

# A child writes its stacks at the limit of time; it is killed when they are there, or this much later.
GRACE_SECONDS = 5.0

# From the end of its output to its own.
END_SECONDS = 2.0

TAIL_BYTES = 4000

# sys.path first: the child imports inc_core from where this process did
BOOTSTRAP = (
    "import json, sys; folder = sys.argv[1]; "
    "sys.path[:] = json.load(open(folder + '/start.json'))['path']; "
    "from inc_core.tuning.runner.child import main; main(folder)"
)

# A child's lines as they come, and ``None`` when there will be no more.
Answers: TypeAlias = "queue.SimpleQueue[tuple[Worker, Mapping[str, Any] | None]]"


def refuse_in_trial() -> None:
    """Refuse to start a search in a trial's process.

    Raises:
        ConfigError: If this is one: it imports the script whose classes it needs.
    """
    if CHILD_VARIABLE in os.environ:
        raise ConfigError(
            "the script starts a search when it is imported, and trial processes import it to have "
            "its classes. Put what it does under: if __name__ == '__main__'"
        )


class Worker:
    """One child as its parent sees it.

    Args:
        folder: Where the job lies.
        number: Names its log.
        threads: Of numerical libraries; 0 leaves it to them.
        answers: Where its lines are put, and ``None`` when there will be no more.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        threads: int,
        answers: Answers,
    ) -> None:
        self.ready = self.busy = self.begun = False
        self._reused = False
        self._deadline = time.monotonic() + START_SECONDS
        self._thread = 0
        self._dead_since: float | None = None
        self._log = folder / f"log-{number}.txt"
        self._log_start = 0
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", BOOTSTRAP, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **thread_environment(threads), CHILD_VARIABLE: "1"},
                # Ctrl-C is for the parent, which decides; and a kill reaches the child's children
                start_new_session=True,
            )
        assert self._process.stdout is not None
        arguments = (self, self._process.stdout, answers)
        threading.Thread(target=_forward, args=arguments, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def untouched(self) -> bool:
        """Whether it has not taken up what it was sent, although it was waiting for it."""
        return self.busy and self._reused and not self.begun

    def start(self, request: Mapping[str, Any], seconds: float) -> None:
        """Send a trial; the clock of its trial starts when the child takes it up."""
        self.busy, self.begun = True, False
        self._reused = self.ready
        self._seconds = seconds
        self._log_start = self._log.stat().st_size
        if self._reused:
            self._deadline = time.monotonic() + TAKE_UP_SECONDS
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead: its end of file tells the same
            self._process.stdin.write(json.dumps({**request, "seconds": seconds}).encode() + b"\n")
            self._process.stdin.flush()

    def note_ready(self, thread: int) -> None:
        """Note that the child has loaded the job.

        Args:
            thread: Identity of the thread that runs its trials.
        """
        self.ready = True
        self._thread = thread

    def note_begun(self) -> None:
        """Note that the child has taken up its trial."""
        self.begun = True
        self._deadline = time.monotonic() + self._seconds

    def may_speak(self) -> bool:
        """Whether lines of a dead child may still be on their way.

        Its own children are ended: they may hold its output open, so that it never ends.
        """
        if self._dead_since is None:
            self._dead_since = time.monotonic()
            self._signal_group()
        return time.monotonic() < self._dead_since + END_SECONDS

    def wait_for_end(self) -> None:
        """Wait for a process that is ending: its exit code says why, unless it is killed first."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)

    def late(self) -> bool:
        """Whether it works, or starts, for longer than it may."""
        beyond = time.monotonic() - self._deadline
        if beyond < 0 or not (self.busy or not self.ready):
            return False
        return not self.begun or beyond > GRACE_SECONDS or self._shows_its_place()

    def _shows_its_place(self) -> bool:
        """Whether the innermost frame of the trial is in the log."""
        pattern = rf"Thread 0x0*{self._thread:x}\b[^\n]*\n +File [^\n]*\n"
        return re.search(pattern, self.tail() + "\n") is not None

    def resident(self) -> int:
        """Return the bytes that it occupies, 0 where that is not known."""
        return resident_bytes(self._process.pid) or 0

    def kill(self) -> int:
        """End the process and those that it started; return its exit code, negative for signals."""
        self._signal_group()
        code = self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # something unsent
            self._process.stdin.close()
        return code

    def _signal_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except AttributeError:  # Windows
            self._process.kill()
        except (ProcessLookupError, PermissionError):  # it is gone
            pass

    def tail(self) -> str:
        """Return the end of what was printed since the trial, or the process, started."""
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - TAIL_BYTES))
            return log.read().decode(errors="replace").strip()


def _forward(
    worker: Worker,
    lines: IO[bytes],
    answers: Answers,
) -> None:
    with lines:
        for line in lines:
            try:
                answers.put((worker, json.loads(line)))
            except ValueError:  # cut short by its end
                break
    answers.put((worker, None))
