from __future__ import annotations

import pytest

from inc_core.pruning.schedule import DECAYS, Schedule


def test_linear_goes_from_initial_to_target_with_both_ends():
    schedule = Schedule(0.2, 0.8, start=1, end=4)
    found = [schedule.sparsity(epoch) for epoch in range(6)]
    assert found == [None, 0.2, pytest.approx(0.4), pytest.approx(0.6), 0.8, 0.8]


def test_the_sparsity_is_held_between_updates():
    schedule = Schedule(0.0, 0.8, start=0, end=8, frequency=4)
    assert [schedule.sparsity(time) for time in (0, 3, 4, 7, 8)] == [0, 0, 0.4, 0.4, 0.8]


@pytest.mark.parametrize("decay", DECAYS)
def test_every_decay_grows_and_ends_at_the_target(decay):
    schedule = Schedule(0.1, 0.9, start=0, end=10, decay=decay)
    found = [schedule.sparsity(time) for time in range(11)]
    assert found == sorted(found)
    assert found[-1] == 0.9
    assert found[0] == (0.9 if decay == "oneshot" else pytest.approx(0.1))


def test_cubic_is_ahead_of_linear():
    cubic, linear = (Schedule(0, 0.8, 0, 10, decay=name) for name in ("cubic", "linear"))
    assert cubic.sparsity(5) > linear.sparsity(5)


def test_start_and_end_at_once_is_the_target():
    assert Schedule(0.0, 0.5, start=2, end=2).sparsity(2) == 0.5
