"""``draw_front``: a story as an SVG file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from inc_core.tuning.picture import svg
from inc_core.tuning.picture.axis import Axis
from inc_core.tuning.picture.marks import Mark, front_of, marks_of
from inc_core.tuning.story import Story

__all__ = ["draw_front"]

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 80, 190, 56, 84  # room for labels around the plot; the legend is right
LANE = 34  # pixels: of the strips for trials without an accuracy, and without a latency
# Worse trials than this many times the allowed loss are drawn at the edge: they would flatten the rest.
DEEPEST = 4.0
LEAST_ALLOWED = 0.002  # relative
LABEL_WIDTH, LABEL_HEIGHT = 18, 11  # pixels that the number of a trial needs

LEGEND = {
    "float": "float model",
    "chosen": "chosen",
    "accepted": "accepted",
    "rejected": "rejected",
    "rejected_early": "rejected early: an estimate",
    "failed": "failed",
    "foreseen": "as expected before",
}


@dataclass(frozen=True)
class _Plot:
    """The axes, and what is drawn on them.

    Attributes:
        story: The search.
        marks: Its trials.
        unit: The float model's latency in ``unit_name``.
        unit_name: Milliseconds if it was measured, else shares of the float model's.
        x: Latency.
        y: Accuracy; better is up.
        lane_x: Pixel of trials whose latency is unknown.
        lane_y: Pixel of trials without an accuracy.
    """

    story: Story
    marks: list[Mark]
    unit: float
    unit_name: str
    x: Axis
    y: Axis
    lane_x: float
    lane_y: float

    @classmethod
    def of(cls, story: Story) -> _Plot:
        unit = 1.0 if story.seconds is None else 1e3 * story.seconds
        marks = marks_of(story, unit)
        right = WIDTH - RIGHT - LANE * any(mark.time is None for mark in marks)
        bottom = HEIGHT - BOTTOM - LANE * any(mark.accuracy is None for mark in marks)
        times = [unit, *(mark.time for mark in marks if mark.time is not None)]
        if story.possible:
            times.append(unit / story.possible)
        return cls(
            story,
            marks,
            unit,
            "share of the float model's" if story.seconds is None else "ms",
            Axis.around(times, LEFT, right),
            _accuracy_axis(story, marks, bottom),
            right + LANE / 2,
            bottom + LANE / 2,
        )

    def place(self, mark: Mark) -> tuple[float, float]:
        """Return the pixel of a trial."""
        x = self.lane_x if mark.time is None else self.x.at(mark.time)
        y = self.lane_y if mark.accuracy is None else self.y.at(mark.accuracy)
        return x, y


def draw_front(story: Story) -> str:
    """Return a picture of accuracy over latency: trials, goal, front, and the one chosen.

    Trials whose latency was not measured stand where it was expected; those of which nothing was
    expected, in a strip beside the plot. Failed ones are in a strip below.
    """
    plot = _Plot.of(story)
    parts = [*_frame(plot), *_lines(plot), *_points(plot), *_winner(plot), *_legend(plot)]
    label = f"Accuracy and latency of {len(plot.marks)} trials: {story.title}"
    return svg.document(WIDTH, HEIGHT, label, parts)


def _accuracy_axis(story: Story, marks: list[Mark], bottom: float) -> Axis:
    """Return the axis of accuracy; losses far beyond the goal are left to its lower edge."""
    values = [story.accuracy, *(mark.accuracy for mark in marks if mark.accuracy is not None)]
    if story.threshold is not None:
        values.append(story.threshold)
        # a goal that allows nothing is as strict as one that allows little
        least = LEAST_ALLOWED * abs(story.accuracy)
        worst = DEEPEST * max(story.loss(story.threshold), least)
        values = [v if story.loss(v) <= worst else story.at_loss(worst) for v in values]
    upwards = Axis.around(values, bottom, TOP)
    if story.higher_is_better:
        return upwards
    return Axis(upwards.hi, upwards.lo, bottom, TOP)


def _frame(plot: _Plot) -> Iterator[str]:
    x, y = plot.x, plot.y
    yield svg.text(plot.story.title, LEFT, 26, kind="title")
    for value, label in x.ticks(6):
        yield svg.line("grid", x.at(value), TOP, x.at(value), y.start)
        yield svg.text(label, x.at(value), HEIGHT - BOTTOM + 18, "middle")
    upright = y if y.lo < y.hi else Axis(y.hi, y.lo, y.end, y.start)
    for value, label in upright.ticks(6):
        yield svg.line("grid", LEFT, y.at(value), x.end, y.at(value))
        yield svg.text(label, LEFT - 8, y.at(value) + 4, "end")
    yield (
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{x.end - LEFT:.2f}" '
        f'height="{y.start - TOP:.2f}"/>'
    )
    middle = (LEFT + x.end) / 2
    yield svg.text(f"latency of one batch ({plot.unit_name})", middle, HEIGHT - 44, "middle")
    better = "higher" if plot.story.higher_is_better else "lower"
    yield svg.text(f"accuracy, {better} is better", LEFT, TOP - 10)
    if any(mark.accuracy is None for mark in plot.marks):
        yield svg.text("failed", LEFT - 8, plot.lane_y + 4, "end")
    if any(mark.time is None for mark in plot.marks):
        yield svg.text("speed not", plot.lane_x, HEIGHT - BOTTOM + 18, "middle", "small")
        yield svg.text("measured", plot.lane_x, HEIGHT - BOTTOM + 30, "middle", "small")


def _lines(plot: _Plot) -> Iterator[str]:
    story, x, y = plot.story, plot.x, plot.y
    if story.threshold is not None:
        at = y.at(story.threshold)
        yield svg.line("goal", LEFT, at, WIDTH - RIGHT, at)
        yield svg.text(f"goal {story.threshold:.4f}", WIDTH - RIGHT + 8, at + 4)
    if story.possible:
        at = x.at(plot.unit / story.possible)
        text = f"thought possible: {story.possible:.2f}x"
        yield svg.line("bound", at, TOP, at, y.start)
        yield svg.text(text, at + 4, y.start - 8, kind="small")
    points = [(plot.unit, 0.0)]
    for mark in plot.marks:
        if mark.row.accepted and mark.measured and mark.accuracy is not None:
            assert mark.time is not None
            points.append((mark.time, story.loss(mark.accuracy)))
    yield svg.path("front", _stairs(plot, front_of(points)))


def _stairs(plot: _Plot, front: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Yield the corners of the front: what is slower than a point may be as good as it."""
    y = float(TOP)
    previous: float | None = None
    for time, loss in front:
        at = plot.x.at(time)
        if previous is not None:
            yield at, previous
        y = plot.y.at(plot.story.at_loss(loss))
        yield at, y
        previous = y
    yield plot.x.end, y


def _points(plot: _Plot) -> Iterator[str]:
    story = plot.story
    yield svg.shape(
        "float",
        plot.x.at(plot.unit),
        plot.y.at(story.accuracy),
        f"float model: accuracy {story.accuracy:.4f}",
        trial=0,
    )
    for mark in plot.marks:
        x, y = plot.place(mark)
        if mark.foreseen is not None and mark.accuracy is not None:
            before = plot.x.at(mark.foreseen[0]), plot.y.at(mark.foreseen[1])
            yield svg.line("expected", *before, x, y)
            yield svg.shape("foreseen", *before, f"trial {mark.row.number}, as expected")
    numbered = [plot.place(mark) for mark in plot.marks if mark.kind == "chosen"]  # has a label
    for mark in sorted(plot.marks, key=lambda mark: mark.kind == "chosen"):  # on top
        x, y = plot.place(mark)
        yield svg.shape(mark.kind, x, y, mark.title, trial=mark.row.number)
        if not any(abs(x - a) < LABEL_WIDTH and abs(y - b) < LABEL_HEIGHT for a, b in numbered):
            numbered.append((x, y))  # of trials in one place the first has its number shown
            yield svg.text(str(mark.row.number), x + 8, y - 7, kind="small")


def _winner(plot: _Plot) -> Iterator[str]:
    for mark in plot.marks:
        if mark.kind != "chosen" or mark.accuracy is None:
            continue
        x, y = plot.place(mark)
        speed = "" if mark.row.speedup is None else f", {mark.row.speedup:.2f}x"
        label = f"trial {mark.row.number}: {mark.accuracy:.4f}{speed}"
        near_the_right = x > (LEFT + plot.x.end) / 2
        yield svg.text(
            label, x + (-14 if near_the_right else 14), y + 18, "end" if near_the_right else "start"
        )


def _legend(plot: _Plot) -> Iterator[str]:
    kinds = {"float", *(mark.kind for mark in plot.marks)}
    if any(mark.foreseen is not None for mark in plot.marks):
        kinds.add("foreseen")
    left, top = WIDTH - RIGHT + 16, HEIGHT - BOTTOM - 26 * len(kinds) - 30
    for row, kind in enumerate(kind for kind in LEGEND if kind in kinds):
        yield svg.shape(kind, left, top + 26 * row, LEGEND[kind])
        yield svg.text(LEGEND[kind], left + 16, top + 26 * row + 4, kind="small")
    notes = []
    if any(mark.time is not None and not mark.measured for mark in plot.marks):
        notes.append("The speed of what was rejected is as expected, not measured.")
    edge = plot.story.loss(plot.y.lo)
    if any(
        mark.accuracy is not None and plot.story.loss(mark.accuracy) > edge for mark in plot.marks
    ):
        notes.append("Trials at the lower edge lost more than is shown.")
    yield svg.text(" ".join(notes), LEFT, HEIGHT - 18, kind="small")
