"""``InlineRunner``: one trial after the other, in this process."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner.contract import Ask, Outcome, Terms
from inc_core.tuning.runner.limits import trial_seconds
from inc_core.tuning.trial_run import run_trial

__all__ = ["InlineRunner"]

logger = logging.getLogger("inc_core.tuning")


class InlineRunner:
    """Runs trials in this process. Nothing can be stopped here: a trial that hangs is only logged.

    Args:
        trial_timeout: Seconds after which a running trial's stack is logged; ``None``: 60 s, or
            five times the float model's evaluation if that is more.
    """

    def __init__(self, trial_timeout: float | None = None) -> None:
        self.trial_timeout = trial_timeout

    def run(
        self, job: TuningJob, asks: Iterable[Ask], terms: Terms
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each ask, in the order of asks."""
        seconds = trial_seconds(self.trial_timeout, terms.baseline.seconds)
        for ask in asks:
            with _watched(ask.number, seconds):
                gate = terms.gate_of(ask.gated)
                outcome = run_trial(job, ask.number, ask.recipe, terms.criterion, gate)
            yield outcome

    def close(self) -> None:
        """Do nothing: nothing is held."""


@contextmanager
def _watched(number: int, seconds: float) -> Iterator[None]:
    """Log the stack of what runs inside, once, if it takes longer."""
    watched = threading.get_ident()

    def log() -> None:
        frame = sys._current_frames().get(watched)
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        logger.warning(
            "trial %d has been running for %g s. In this process it cannot be stopped; "
            "tuning.runner.name: process could. It is at:\n%s",
            number, seconds, stack,
        )  # fmt: skip

    timer = threading.Timer(seconds, log)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
