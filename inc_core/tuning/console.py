"""What is being done, on a terminal: one live line below the lines that stay.

Whatever takes longer than two seconds shows there, with its time, so that nothing seems to hang. A
thread repaints it, as what runs may be a framework that gives nothing back for minutes. What is no
terminal gets the lines that stay, and nothing else.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO, TypeVar

__all__ = ["Console"]

T = TypeVar("T")

QUIET_SECONDS = 1.5  # what is over before need not be shown; with a step this is below 2 s
STEP_SECONDS = 0.2  # five times a second is often enough to look alive
WIPE = "\r\x1b[K"  # to the first column, and clear to the end of the line


@dataclass(eq=False)  # two of the same label at the same time are two
class _Activity:
    """What is being done, since when, and how far it is."""

    label: str
    start: float
    count: int | None = None
    total: int | None = None
    unit: str = ""


class Console:
    """Prints lines, and on a terminal keeps one live line of what is being done below them.

    Args:
        stream: Where to write, standard error by default.
        verbose: Whether lines are printed; the live line is shown anyway.
        clock: Monotonic seconds.
        live: Whether there is a live line; by default if the stream is a terminal.
        ticking: Whether a thread repaints it; else only ``repaint`` does.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        verbose: bool = True,
        clock: Callable[[], float] = time.monotonic,
        live: bool | None = None,
        ticking: bool = True,
    ) -> None:
        # without standard error, as in a service, there is nobody to tell
        self._stream: TextIO | None = sys.stderr if stream is None else stream
        self._verbose = verbose
        self._clock = clock
        self._live = _is_terminal(self._stream) if live is None else live
        self._ticking = ticking
        self._activities: list[_Activity] = []
        self._status = ""
        self._painted = False
        self._lock = threading.RLock()
        self._idle = threading.Event()  # set when nothing is done any more
        self._handlers: list[logging.Handler] = []

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if not self._verbose:
            return
        with self._lock:
            self._wipe()
            self._write(line + "\n")
            self.repaint()

    def show(self, status: str) -> None:
        """Set what the live line ends with, such as the best so far."""
        self._status = status

    @contextmanager
    def doing(self, label: str) -> Iterator[None]:
        """Show ``label`` and its time while the block runs; what is done inside goes before it.

        The outermost block of all is shown only while nothing is done inside of it.
        """
        with self._pushed(_Activity(label, self._clock())):
            yield

    def over(
        self, items: Iterable[T], label: str, total: int | None = None, unit: str = "batches"
    ) -> Iterator[T]:
        """Yield ``items``; show ``label``, their count and the time meanwhile.

        Args:
            items: What is worked through.
            label: What is being done, such as ``"evaluating"``.
            total: How many there are, if known.
            unit: What they are called.
        """
        activity = _Activity(label, self._clock(), 0, total, unit)
        with self._pushed(activity):
            for item in items:
                yield item
                assert activity.count is not None
                activity.count += 1

    def repaint(self) -> None:
        """Write the live line anew, if there is anything to show."""
        with self._lock:
            if not self._live or not self._activities:
                return
            now = self._clock()
            if now - self._activities[0].start < QUIET_SECONDS:
                return
            parts = [_text(self._activities, now), self._status]
            width = shutil.get_terminal_size().columns - 1  # a full line would wrap
            self._write(WIPE + " | ".join(filter(None, parts))[:width])
            self._painted = True

    @contextmanager
    def _pushed(self, activity: _Activity) -> Iterator[None]:
        with self._lock:
            if not self._activities:
                self._begin()
            self._activities.append(activity)
        try:
            yield
        finally:
            with self._lock:
                # a generator that is closed late ends after what was begun after it
                self._activities.remove(activity)
                if not self._activities:
                    self._end()

    def _begin(self) -> None:
        """Repaint from a thread from now on, and make room for what is logged."""
        if not self._live:
            return
        self._idle = threading.Event()
        self._handlers = [
            h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)
        ]
        for handler in self._handlers:
            handler.addFilter(self._make_room)
        if self._ticking:
            threading.Thread(target=self._tick, args=(self._idle,), daemon=True).start()

    def _end(self) -> None:
        self._wipe()
        self._idle.set()
        for handler in self._handlers:
            handler.removeFilter(self._make_room)

    def _tick(self, idle: threading.Event) -> None:
        while not idle.wait(STEP_SECONDS):
            self.repaint()

    def _make_room(self, record: logging.LogRecord) -> bool:
        with self._lock:
            self._wipe()
        return True

    def _wipe(self) -> None:
        if self._painted:
            self._write(WIPE)
            self._painted = False

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, a reader that went away, a closed stream:
            self._stream = None  # the search goes on without being watched


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def _text(activities: Sequence[_Activity], now: float) -> str:
    """Return what is done inside of what; the outermost keeps the line alive where nothing else is."""
    *around, innermost = activities
    return ", ".join([*(activity.label for activity in around[1:]), _extent(innermost, now)])


def _extent(activity: _Activity, now: float) -> str:
    seconds = now - activity.start
    if activity.count is None:
        return f"{activity.label} {seconds:.0f} s"
    if not activity.total:
        return f"{activity.label}: {activity.count} {activity.unit}, {seconds:.0f} s"
    text = f"{activity.label}: {activity.count}/{activity.total} {activity.unit}"
    if not activity.count:
        return f"{text}, {seconds:.0f} s"
    left = seconds / activity.count * (activity.total - activity.count)
    return f"{text}, about {max(left, 0):.0f} s left"
