from __future__ import annotations

import pytest

from inc_core.tuning.picture.axis import Axis


def test_values_lie_between_the_ends_in_proportion():
    axis = Axis(0.0, 10.0, 100.0, 300.0)
    assert [axis.at(value) for value in (0.0, 5.0, 10.0)] == [100.0, 200.0, 300.0]


def test_upwards_pixels_fall():
    axis = Axis(0.0, 1.0, 400.0, 50.0)
    assert axis.at(0.9) < axis.at(0.1)


def test_what_is_beyond_an_end_is_drawn_there():
    axis = Axis(0.0, 1.0, 400.0, 50.0)
    assert axis.at(-3.0) == 400.0
    assert axis.at(7.0) == 50.0


def test_no_value_lies_on_the_frame():
    axis = Axis.around([2.0, 4.0], 0.0, 100.0)
    assert 0.0 < axis.at(2.0) < axis.at(4.0) < 100.0


@pytest.mark.parametrize("value", [0.0, 0.8, -3.0, 1e-6])
def test_one_value_alone_has_room_around_it(value):
    axis = Axis.around([value, value], 0.0, 100.0)
    assert axis.at(value) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("lo", "hi", "labels"),
    [
        (0.0, 10.0, ["0", "2", "4", "6", "8", "10"]),
        (0.755, 0.795, ["0.76", "0.77", "0.78", "0.79"]),
        (0.0, 1.5, ["0.00", "0.25", "0.50", "0.75", "1.00", "1.25", "1.50"]),
        (23.0, 52.0, ["25", "30", "35", "40", "45", "50"]),
        (-1.0, 1.0, ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
    ],
)
def test_ticks_are_round_numbers(lo, hi, labels):
    assert [label for _, label in Axis(lo, hi, 0, 1).ticks(6)] == labels


def test_every_label_says_its_value():
    for value, label in Axis(0.00123, 0.0217, 0, 1).ticks(6):
        assert float(label) == pytest.approx(value)
