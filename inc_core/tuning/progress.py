"""A line of progress on a terminal, for what takes more than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO, TypeVar

__all__ = ["Progress"]

T = TypeVar("T")

QUIET_SECONDS = 2.0  # what is over before need not be shown
STEP_SECONDS = 0.2  # five times a second is often enough to look alive


class Progress:
    """Wraps iterables and shows how far they are, on one line that is wiped at the end.

    Nothing is written if the stream is no terminal.

    Args:
        stream: Where to write, standard error by default.
        clock: Monotonic seconds.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock

    def over(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """Yield ``items``; show ``label``, their count and the time meanwhile.

        Args:
            items: What is worked through.
            label: What is being done, such as ``"evaluating"``.
            total: How many there are, if known.
        """
        if not self._stream.isatty():
            yield from items
            return
        start = self._clock()
        shown_at = start + QUIET_SECONDS - STEP_SECONDS
        width = 0
        try:
            for count, item in enumerate(items):
                now = self._clock()
                if now - shown_at >= STEP_SECONDS:
                    text = _line(label, count, total, now - start)
                    self._write("\r" + text.ljust(width))
                    width, shown_at = len(text), now
                yield item
        finally:
            if width:
                self._write("\r" + " " * width + "\r")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _line(label: str, count: int, total: int | None, seconds: float) -> str:
    if not total:
        return f"{label}: {count} batches, {seconds:.0f} s"
    left = seconds / count * (total - count) if count else 0.0
    return f"{label}: {count}/{total} batches, {seconds:.0f} s, about {max(left, 0):.0f} s left"
