"""Latency of models side by side: interleaved rounds, so that drift of the machine cancels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Latency", "LatencyComparison", "Share", "compare_latency", "interleaved", "seconds_for"]

# Long enough for a 5 % difference to show on a noisy desktop.
MAX_SECONDS = 5.0
# Of the time that evaluations took: a comparison that nobody decides by must stay short against them.
SHARE_OF_EVALUATIONS = 0.05
LEAST_SECONDS = 0.15
MAX_ROUNDS = 192
MIN_ROUNDS = 6  # fewer have no 95 % interval, whatever they show
WARMUP_ROUNDS = 2  # what is compared was evaluated before
# Of a ratio's 95 % interval, relative: two runs of one comparison differ by more on most machines. Where
# there is a large difference, to know it to a tenth either way says as much.
NARROW = 0.02
NARROW_OF_DIFFERENCE = 0.2
CONFIDENCE = 0.95
# Rounds at which one first looks whether it is narrow, then at twice as many, and so on. Looks are so rare
# that ending at one leaves the interval its 95 %, which a test simulates.
FIRST_LOOK = 12


@dataclass(frozen=True)
class Latency:
    """Seconds per batch of one model: median and quartiles over its rounds."""

    median: float
    q1: float
    q3: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Summarize the times of all rounds."""
        q1, median, q3 = np.percentile(seconds, [25, 50, 75])
        return cls(float(median), float(q1), float(q3))


@dataclass(frozen=True)
class LatencyComparison:
    """The speed of a tuned model beside the float model's.

    Attributes:
        baseline: The float model.
        tuned: The tuned model.
        speedup: Median over rounds of float time by tuned time; above 1 the tuned model is faster.
        speedup_lo: Lower end of the 95 % interval of ``speedup``.
        speedup_hi: Upper end of it.
        rounds: How many pairs were timed.
    """

    baseline: Latency
    tuned: Latency
    speedup: float
    speedup_lo: float
    speedup_hi: float
    rounds: int

    @property
    def verdict(self) -> str:
        """``"faster"`` or ``"slower"`` if the interval excludes 1, else ``"about equal"``."""
        if self.speedup_lo > 1.0:
            return "faster"
        return "slower" if self.speedup_hi < 1.0 else "about equal"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            **vars(self),
            "baseline": dict(vars(self.baseline)),
            "tuned": dict(vars(self.tuned)),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> LatencyComparison:
        """Inverse of ``to_json``."""
        pair = {name: Latency(**fields[name]) for name in ("baseline", "tuned")}
        return cls(**{**fields, **pair})


def seconds_for(evaluations: float) -> float:
    """Return how long a comparison may take at the end of a search.

    Args:
        evaluations: Seconds of all evaluations of the search; 0 if there were none.
    """
    if evaluations <= 0.0:
        return MAX_SECONDS
    return min(MAX_SECONDS, max(LEAST_SECONDS, SHARE_OF_EVALUATIONS * evaluations))


def compare_latency(
    baseline: Callable[[], Any],
    tuned: Callable[[], Any],
    *,
    max_seconds: float = MAX_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> LatencyComparison:
    """Time two calls in interleaved rounds whose order alternates.

    Ends when the interval of the speed-up is narrow, after ``MAX_ROUNDS`` pairs, or when
    ``max_seconds`` are spent and ``MIN_ROUNDS`` pairs are timed; very slow calls may so take longer.

    Args:
        baseline: Runs one batch through the float model.
        tuned: Runs the same batch through the tuned model.
        max_seconds: Bound of the whole comparison, in seconds.
        clock: Seconds.
    """
    rounds = _rounds([baseline, tuned], max_seconds, clock)
    return _summarize([(one, other) for one, other in rounds])


@dataclass(frozen=True)
class Share:
    """Time of one call as a multiple of the first call's: median over rounds and its 95 % interval."""

    median: float
    lo: float
    hi: float

    @classmethod
    def of(cls, rounds: Sequence[Sequence[float]], index: int) -> Share:
        """Summarize the seconds of one call, given those of all calls in each round."""
        # a clock of coarse resolution may show 0 for a tiny model
        ratios = sorted(max(row[index], 1e-9) / max(row[0], 1e-9) for row in rounds)
        lo, hi = _median_interval(len(ratios))
        return cls(float(np.median(ratios)), ratios[lo], ratios[hi])

    @property
    def is_narrow(self) -> bool:
        """Whether more rounds would say little more."""
        difference = NARROW_OF_DIFFERENCE * abs(1.0 - self.median)
        return self.hi - self.lo <= max(NARROW * self.median, difference)


def interleaved(
    calls: Sequence[Callable[[], Any]],
    *,
    max_seconds: float = MAX_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Share]:
    """Time calls in interleaved rounds, each round in the other order; the first has share 1.

    Ends as ``compare_latency`` does.

    Args:
        calls: Each runs the same batch through one model.
        max_seconds: Bound of the whole comparison, in seconds.
        clock: Seconds.
    """
    rounds = _rounds(calls, max_seconds, clock)
    return [Share.of(rounds, index) for index in range(len(calls))]


def _rounds(
    calls: Sequence[Callable[[], Any]], max_seconds: float, clock: Callable[[], float]
) -> list[list[float]]:
    """Return the seconds of each call in each round; every other round runs backwards."""
    start = clock()
    for _ in range(WARMUP_ROUNDS):
        for call in calls:
            call()
        if clock() - start > max_seconds / 4:
            break
    rounds: list[list[float]] = []
    look = FIRST_LOOK
    while len(rounds) < MIN_ROUNDS or (len(rounds) < MAX_ROUNDS and clock() - start < max_seconds):
        order = range(len(calls)) if len(rounds) % 2 == 0 else reversed(range(len(calls)))
        seconds = {index: _timed(calls[index], clock) for index in order}
        rounds.append([seconds[index] for index in range(len(calls))])
        if len(rounds) == look:
            if _all_narrow(rounds):
                break
            look *= 2
    return rounds


def _all_narrow(rounds: Sequence[Sequence[float]]) -> bool:
    return all(Share.of(rounds, index).is_narrow for index in range(1, len(rounds[0])))


def _timed(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def _summarize(pairs: Sequence[tuple[float, float]]) -> LatencyComparison:
    # a clock of coarse resolution may show 0 for a tiny model
    ratios = sorted(max(a, 1e-9) / max(b, 1e-9) for a, b in pairs)
    lo, hi = _median_interval(len(ratios))
    return LatencyComparison(
        baseline=Latency.of([a for a, _ in pairs]),
        tuned=Latency.of([b for _, b in pairs]),
        speedup=float(np.median(ratios)),
        speedup_lo=ratios[lo],
        speedup_hi=ratios[hi],
        rounds=len(pairs),
    )


def _median_interval(count: int) -> tuple[int, int]:
    """Return the order statistics that enclose the median with 95 % (binomial, no assumption).

    The k-th smallest and k-th largest of ``count`` values miss it where fewer than k of them are on one
    side: with 2 P(B < k), B of ``count`` fair coins. Fewer than 6 values have no such pair; then it is
    all of them.
    """
    misses = 0.0
    for k in range(count // 2):
        misses += 2.0 * math.comb(count, k) / 2.0**count
        if misses > 1.0 - CONFIDENCE:
            return max(0, k - 1), count - 1 - max(0, k - 1)
    return 0, max(0, count - 1)
