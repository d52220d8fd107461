"""How the evaluation of one ask is divided among places, and what its parts make together."""

from __future__ import annotations

import base64
import logging
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

from inc_core.tuning.evaluate import MetricEvaluator
from inc_core.tuning.job import TuningJob
from inc_core.tuning.parts import Merging, Part, why_whole
from inc_core.tuning.runner.contract import Ask, Terms
from inc_core.tuning.runner.engine import Span
from inc_core.tuning.sequential import Gate
from inc_core.tuning.trial import Trial

__all__ = [
    "SplitWork",
    "WholeWork",
    "Work",
    "division",
    "pack_parts",
    "proposal_width",
    "unpack_parts",
]

logger = logging.getLogger("inc_core.tuning")

# More trials side by side than this hardly shorten a search; further workers take parts of an
# evaluation. Source: the simulator, rounds at width 1, 2, 4, 8.
WIDEST = 4

# An evaluation that may end early goes by windows, each as long as all before it: the first is this
# share of the data, where most hopeless trials end.
FIRST_WINDOW = 1 / 8


def proposal_width(workers: int) -> int:
    """Return how many recipes a strategy may propose side by side: the same on every runner."""
    return min(workers, WIDEST)


class Work(Protocol):
    """The parts of one ask."""

    def spans(self) -> Sequence[Span | None]:
        """Return what starts first; ``None`` is the whole evaluation."""

    def take(self, span: Span | None, reply: Mapping[str, Any]) -> Sequence[Span | None]:
        """Take the answer for a part; return what can start now."""

    def trial(self, ask: Ask) -> Trial | None:
        """Return the trial, once every part that it needs was taken."""


def division(job: TuningJob, terms: Terms, workers: int) -> Callable[[Ask], Work]:
    """Return what divides each evaluation of a search; whole ones, said once, if it must be.

    Args:
        job: What is searched.
        terms: What trials are held against.
        workers: How many there are.
    """
    parts = math.ceil(workers / WIDEST)
    if parts < 2:
        return lambda ask: WholeWork()
    reason = why_whole(job.evaluator, terms.gate, terms.baseline, parts)
    if reason:
        logger.info("an evaluation is not split over workers: %s", reason)
        return lambda ask: WholeWork()
    evaluator = job.evaluator
    assert isinstance(evaluator, MetricEvaluator)
    return lambda ask: SplitWork(evaluator, terms, terms.gate_of(ask.gated), parts, job.clock)


class WholeWork:
    """An evaluation in one place."""

    def __init__(self) -> None:
        self._fields: Mapping[str, Any] | None = None

    def spans(self) -> Sequence[Span | None]:
        """Return the one part."""
        return (None,)

    def take(self, span: Span | None, reply: Mapping[str, Any]) -> Sequence[Span | None]:
        """Take the answer."""
        self._fields = reply["trial"]
        return ()

    def trial(self, ask: Ask) -> Trial | None:
        """Return the trial that was run."""
        return None if self._fields is None else Trial(recipe=ask.recipe, **self._fields)


class SplitWork:
    """An evaluation in several places, window by window if it may end early.

    Args:
        evaluator: Says how many batches there are, and merges what they give.
        terms: What the trial is held against.
        gate: When it may end early; ``None`` never.
        parts: Into how many each window is split.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        evaluator: MetricEvaluator,
        terms: Terms,
        gate: Gate | None,
        parts: int,
        clock: Callable[[], float],
    ) -> None:
        count = evaluator.batch_total()
        assert count is not None
        self._windows = [_split(*window, parts) for window in _windows(count, gate is not None)]
        self._terms = terms
        self._clock = clock
        self._started = clock()
        self._merging = Merging(evaluator, gate)
        self._found: dict[Span, Sequence[Part]] = {}
        self._fields: Mapping[str, Any] | None = None

    def spans(self) -> Sequence[Span | None]:
        """Return the parts of the first window."""
        return self._windows[0]

    def take(self, span: Span | None, reply: Mapping[str, Any]) -> Sequence[Span | None]:
        """Take the answer for a part; return the next window's when this one is complete."""
        assert span is not None
        if "trial" in reply:  # it failed
            self._fields = reply["trial"]
            return ()
        self._found[span] = unpack_parts(reply["parts"])
        window = self._windows[0]
        if any(other not in self._found for other in window):
            return ()
        for part in (part for other in window for part in self._found.pop(other)):
            estimate = self._merging.add(part)
            if estimate is not None:
                self._finish(estimate, early=True)
                return ()
        del self._windows[0]
        if self._windows:
            return self._windows[0]
        self._finish(self._merging.accuracy(), early=False)
        return ()

    def trial(self, ask: Ask) -> Trial | None:
        """Return the trial that the parts make, or that failed in one."""
        if self._fields is None:
            return None
        return Trial(recipe=ask.recipe, **{**self._fields, "number": ask.number})

    def _finish(self, accuracy: float, *, early: bool) -> None:
        seconds = self._clock() - self._started
        self._fields = {
            "accuracy": accuracy,
            "accepted": not early and self._terms.criterion.accepts(accuracy),
            "status": "rejected_early" if early else "ok",
            "seconds": seconds,
            "eval_seconds": seconds,
            "samples": self._merging.samples,
        }


def _windows(count: int, may_end_early: bool) -> list[Span]:
    """Return spans that cover ``count`` batches."""
    cuts = [0]
    if may_end_early:
        size = count * FIRST_WINDOW
        while size < count:
            cuts.append(round(size))
            size *= 2
    cuts.append(count)
    return [(first, last) for first, last in pairwise(cuts) if last > first]


def _split(first: int, last: int, parts: int) -> list[Span]:
    """Return about equal parts of a span, fewer if it is short."""
    cuts = [first + (last - first) * number // parts for number in range(parts + 1)]
    return [(start, stop) for start, stop in pairwise(cuts) if stop > start]


def pack_parts(parts: Sequence[Part]) -> str:
    """Return parts as text, from one of our processes to another."""
    return base64.b64encode(pickle.dumps(tuple(parts))).decode("ascii")


def unpack_parts(text: str) -> tuple[Part, ...]:
    """Inverse of ``pack_parts``."""
    parts: tuple[Part, ...] = pickle.loads(base64.b64decode(text))
    return parts
