from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from inc_core.tuning.picture import draw_front
from inc_core.tuning.picture.marks import front_of
from inc_core.tuning.story import Row, Story

SVG = "{http://www.w3.org/2000/svg}"


def row(number, accuracy=0.79, *, speedup=None, expected=None, **fields):
    return Row(
        **{
            "number": number,
            "status": "ok",
            "accepted": False,
            "accuracy": accuracy,
            "seconds": None if speedup is None else 0.020 / speedup,
            "speedup": speedup,
            "expected_loss": None,
            "expected_speedup": expected,
            "samples": 100,
            "duration": 1.0,
            "quantized": 5,
            "ops": 6,
            "note": "",
            **fields,
        }
    )


def story(*rows, **changes):
    fields = {
        "title": "digits",
        "accuracy": 0.8,
        "seconds": 0.020,
        "threshold": 0.792,
        "higher_is_better": True,
        **changes,
    }
    return Story(rows=rows, **fields)


THREE = (
    row(1, 0.78, expected=2.5),
    row(2, 0.796, accepted=True, speedup=1.5),
    row(3, 0.793, accepted=True, speedup=2.0, expected=2.1, expected_loss=0.005),
)


class Picture:
    """The elements of a drawn story, by what they stand for."""

    def __init__(self, *rows, **changes):
        self.root = ElementTree.fromstring(draw_front(story(*rows, **changes)))
        self.marks = {
            int(path.get("data-trial")): path
            for path in self.root.iter(f"{SVG}path")
            if path.get("data-trial") is not None
        }
        self.texts = [text.text for text in self.root.iter(f"{SVG}text")]

    def kind(self, number):
        return self.marks[number].get("class")

    def place(self, number):
        inside = self.marks[number].get("transform").removeprefix("translate(").rstrip(")")
        return tuple(float(part) for part in inside.split())

    def line(self, kind):
        (found,) = [line for line in self.root.iter(f"{SVG}line") if line.get("class") == kind]
        return {name: float(found.get(name)) for name in ("x1", "y1", "x2", "y2")}

    def scale(self):
        """Return milliseconds by pixel of the labelled ticks below the plot."""
        height = max(float(t.get("y")) for t in self.root.iter(f"{SVG}text") if _is_number(t.text))
        return {
            float(text.get("x")): float(text.text)
            for text in self.root.iter(f"{SVG}text")
            if _is_number(text.text) and float(text.get("y")) == height
        }


def _is_number(text):
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def test_faster_is_left_and_more_accurate_is_up():
    picture = Picture(*THREE)
    (x2, y2), (x3, y3) = picture.place(2), picture.place(3)
    assert x3 < x2
    assert y2 < y3


def test_points_stand_where_the_axis_says():
    picture = Picture(*THREE)
    (x_low, low), *_, (x_high, high) = sorted(picture.scale().items())
    for number, milliseconds in ((0, 20.0), (2, 20.0 / 1.5), (3, 10.0), (1, 8.0)):
        x, _ = picture.place(number)
        read = low + (x - x_low) / (x_high - x_low) * (high - low)
        assert read == pytest.approx(milliseconds, abs=0.05)


def test_the_goal_parts_what_passed_from_what_did_not():
    picture = Picture(*THREE)
    goal = picture.line("goal")["y1"]
    assert picture.place(2)[1] < goal
    assert picture.place(3)[1] < goal < picture.place(1)[1]


def test_kinds_differ_by_shape_and_not_by_colour_alone():
    rows = (
        row(1, 0.78, expected=2.0),
        row(2, 0.796, accepted=True, speedup=1.5),
        row(3, 0.793, accepted=True, speedup=2.0),
        row(4, 0.70, status="rejected_early", expected=2.2),
        row(5, None, status="crashed", expected=2.2),
    )
    picture = Picture(*rows, chosen=3)
    kinds = ["float", "rejected", "accepted", "chosen", "rejected_early", "failed"]
    assert [picture.kind(number) for number in range(6)] == kinds
    assert len({picture.marks[number].get("d") for number in range(6)}) == 6


def test_the_winner_has_its_figures_beside_it():
    assert "trial 3: 0.7930, 2.00x" in Picture(*THREE, chosen=3).texts


def test_failed_trials_stand_below_all_others():
    picture = Picture(*THREE, row(4, None, status="failed", expected=2.0))
    assert picture.place(4)[1] > max(picture.place(number)[1] for number in range(4))
    assert "failed" in picture.texts


def test_trials_of_unknown_speed_stand_beside_the_plot():
    picture = Picture(*THREE, row(4, 0.79))
    assert picture.place(4)[0] > max(picture.place(number)[0] for number in range(4))
    assert "speed not" in picture.texts


def test_a_hopeless_trial_does_not_flatten_the_others():
    near, far = Picture(*THREE), Picture(*THREE, row(4, 0.1, expected=3.0))
    apart = [picture.place(3)[1] - picture.place(2)[1] for picture in (near, far)]
    assert apart[1] > 0.3 * apart[0]
    assert any(text and "lower edge" in text for text in far.texts)
    assert not any(text and "lower edge" in text for text in near.texts)


def test_what_was_expected_is_joined_to_what_was_found():
    line = Picture(*THREE).line("expected")
    assert (line["x2"], line["y2"]) == Picture(*THREE).place(3)
    assert line["x1"] < line["x2"]  # 2.1x expected, 2.0x found


def test_the_bound_is_drawn_in_terms_of_what_was_measured_of_the_best():
    # 2.1x was expected of trial 3, which has 2.0x
    picture = Picture(*THREE, leading=3, bound=2.31)
    assert "thought possible: 2.20x" in picture.texts


def test_the_bound_is_left_of_everything_slower():
    picture = Picture(*THREE, bound=2.4)
    assert picture.line("bound")["x1"] < picture.place(3)[0]
    assert "thought possible: 2.40x" in picture.texts


def test_a_metric_to_be_minimized_has_its_best_at_the_top():
    rows = (row(1, 0.83, expected=2.0), row(2, 0.804, accepted=True, speedup=1.5))
    picture = Picture(*rows, threshold=0.808, higher_is_better=False)
    assert picture.place(2)[1] < picture.line("goal")["y1"] < picture.place(1)[1]
    assert "accuracy, lower is better" in picture.texts


def test_a_recipe_that_was_repeated_is_drawn_once():
    assert set(Picture(*THREE, row(4, 0.793, status="cached")).marks) == {0, 1, 2, 3}


def test_axes_have_units():
    assert "latency of one batch (ms)" in Picture(*THREE).texts
    relative = Picture(*THREE, seconds=None).texts
    assert "latency of one batch (share of the float model's)" in relative


def test_names_and_messages_are_escaped():
    failed = row(4, None, status="failed", note='ValueError: a < b & "c" </title><script>x()')
    picture = Picture(*THREE, failed, title="<b>model</b> & more")
    assert "<b>model</b> & more" in picture.texts
    assert 'a < b & "c" </title><script>x()' in picture.marks[4].find(f"{SVG}title").text
    assert not list(picture.root.iter(f"{SVG}script"))


def test_it_has_a_ground_of_its_own_and_asks_nothing_of_the_network():
    text = draw_front(story(*THREE))
    assert '<rect width="860" height="520" rx="6" fill="#ffffff"/>' in text
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0


def test_without_a_goal_there_is_no_line():
    assert not any(
        line.get("class") == "goal"
        for line in Picture(*THREE, threshold=None).root.iter(f"{SVG}line")
    )


def test_everything_is_inside_the_picture():
    hopeless = row(4, 0.1, expected=30.0), row(5, None, status="oom")
    picture = Picture(*THREE, *hopeless, bound=40.0)
    for number in picture.marks:
        x, y = picture.place(number)
        assert 0 <= x <= 860
        assert 0 <= y <= 520


class TestFront:
    def test_what_is_slower_and_worse_is_not_on_it(self):
        points = [(1.0, 0.3), (2.0, 0.1), (3.0, 0.2), (4.0, 0.0)]
        assert front_of(points) == [(1.0, 0.3), (2.0, 0.1), (4.0, 0.0)]

    def test_of_equals_one_is(self):
        assert front_of([(1.0, 0.1), (1.0, 0.1)]) == [(1.0, 0.1)]

    def test_nothing_has_no_front(self):
        assert front_of([]) == []
