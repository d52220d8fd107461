from __future__ import annotations

import random

import pytest

from inc_core.tuning.speed import (
    FIRST_LOOK,
    LEAST_SECONDS,
    MAX_ROUNDS,
    MAX_SECONDS,
    MIN_ROUNDS,
    NARROW,
    WARMUP_ROUNDS,
    LatencyComparison,
    compare_latency,
    interleaved,
    seconds_for,
)


class Machine:
    """A clock that only calls move; every call may be slower than the last (thermal drift)."""

    def __init__(self, drift: float = 0.0) -> None:
        self.now = 0.0
        self.drift = drift
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now

    def call(self, name: str, seconds: float):
        def run() -> None:
            self.calls.append(name)
            self.now += seconds * (1 + self.drift * len(self.calls))

        return run


def compare(machine, float_seconds, tuned_seconds, **options) -> LatencyComparison:
    return compare_latency(
        machine.call("float", float_seconds),
        machine.call("tuned", tuned_seconds),
        clock=machine.clock,
        **options,
    )


def test_the_speedup_is_float_time_by_tuned_time():
    comparison = compare(Machine(), 0.02, 0.01)
    assert comparison.speedup == pytest.approx(2.0)
    assert comparison.baseline.median == pytest.approx(0.02)
    assert comparison.verdict == "faster"


def test_drift_of_the_machine_does_not_favour_either():
    comparison = compare(Machine(drift=0.01), 0.01, 0.01)
    assert comparison.speedup == pytest.approx(1.0, abs=0.02)
    assert comparison.speedup_lo <= 1.0 <= comparison.speedup_hi
    assert comparison.verdict == "about equal"


def test_a_slower_model_is_called_slower():
    assert compare(Machine(), 0.01, 0.02).verdict == "slower"


def test_rounds_alternate_their_order():
    machine = Machine()
    compare(machine, 0.01, 0.01)
    first = 2 * WARMUP_ROUNDS
    assert machine.calls[first : first + 8] == ["float", "tuned", "tuned", "float"] * 2


@pytest.mark.parametrize(
    ("evaluations", "seconds"),
    [(0.0, MAX_SECONDS), (0.5, LEAST_SECONDS), (20.0, 1.0), (900.0, MAX_SECONDS)],
    ids=["none", "short", "usual", "long"],
)
def test_a_comparison_is_short_against_the_evaluations_of_the_search(evaluations, seconds):
    assert seconds_for(evaluations) == pytest.approx(seconds)


def noisy(machine, name, seconds):
    """A call that takes up to half as long again, so that its ratio is not soon known."""
    noise = random.Random(name)
    return lambda: machine.call(name, seconds * noise.uniform(1.0, 1.5))()


def test_fast_models_stop_at_the_number_of_rounds():
    machine = Machine()
    calls = [noisy(machine, name, 1e-4) for name in ("float", "tuned")]
    assert compare_latency(*calls, clock=machine.clock).rounds == MAX_ROUNDS


def test_a_ratio_that_is_known_narrowly_is_not_timed_further():
    comparison = compare(Machine(), 0.02, 0.01)
    assert comparison.rounds == FIRST_LOOK
    assert comparison.speedup_hi - comparison.speedup_lo <= NARROW * comparison.speedup


@pytest.mark.parametrize(("seconds", "looks"), [(0.02, 1), (0.0105, 4)], ids=["large", "small"])
def test_a_large_difference_needs_fewer_rounds_than_a_small_one(seconds, looks):
    machine = Machine()
    noise = random.Random(0)
    base = lambda: machine.call("float", seconds * noise.uniform(0.96, 1.04))()  # noqa: E731
    found = compare_latency(base, machine.call("tuned", 0.01), clock=machine.clock)
    assert found.rounds == FIRST_LOOK * 2 ** (looks - 1)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05], ids=["quiet", "usual", "loud"])
def test_the_interval_holds_the_true_ratio_as_often_as_it_says(noise):
    draw = random.Random(noise)
    held = 0
    for _ in range(400):
        machine = Machine()
        base = machine.call("float", 2e-3)
        tuned = lambda m=machine: m.call("tuned", 1e-3 * draw.lognormvariate(0, noise))()  # noqa: E731
        found = compare_latency(base, tuned, clock=machine.clock)
        held += found.speedup_lo <= 2.0 <= found.speedup_hi
    assert held / 400 > 0.92  # 95 %, and three standard deviations of 400 draws


def test_timing_goes_on_as_long_as_one_of_several_is_not_known_narrowly():
    machine = Machine()
    steady = [machine.call(name, 1e-4) for name in ("a", "b")]
    interleaved([*steady, noisy(machine, "c", 1e-4)], clock=machine.clock)
    assert machine.calls.count("b") == WARMUP_ROUNDS + MAX_ROUNDS


def test_slow_models_stop_at_the_time_but_not_below_the_least_rounds():
    machine = Machine()
    assert compare(machine, 10.0, 10.0, max_seconds=30.0).rounds == MIN_ROUNDS
    assert len(machine.calls) == 2 * MIN_ROUNDS + 2  # warmed up once


def test_json_and_back():
    comparison = compare(Machine(), 0.02, 0.01)
    assert LatencyComparison.from_json(comparison.to_json()) == comparison


def test_several_are_timed_in_rounds_that_run_back_and_forth():
    machine = Machine(drift=0.01)
    calls = [machine.call(name, seconds) for name, seconds in (("a", 2), ("b", 1), ("c", 4))]
    shares = interleaved(calls, max_seconds=1e9, clock=machine.clock)
    assert [share.median for share in shares] == pytest.approx([1.0, 0.5, 2.0], rel=0.03)
    assert all(share.lo <= share.median <= share.hi for share in shares)
    first = 3 * WARMUP_ROUNDS
    assert machine.calls[first : first + 6] == ["a", "b", "c", "c", "b", "a"]
