"""Ctrl-C and SIGTERM: the first asks a search to stop after its trial, the second stops at once."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopSignals"]

logger = logging.getLogger("inc_core.tuning")


class StopSignals:
    """While entered, turns SIGINT and SIGTERM into ``requested``; restores the handlers at exit.

    Before ``patient`` is set, when there is nothing to lose yet, the first signal raises
    ``KeyboardInterrupt`` at once. Outside of the main thread Python allows no handlers: signals
    then act as they would without this class.
    """

    def __init__(self) -> None:
        self.requested = False
        self.patient = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not installed from Python
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.requested or not self.patient:
            raise KeyboardInterrupt(name)
        self.requested = True
        logger.warning("%s: stopping after the running trial; once more stops at once", name)
