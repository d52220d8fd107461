"""Where each trial of a story stands in the picture, and why there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inc_core.tuning.story import Row, Story

__all__ = ["Mark", "front_of", "marks_of"]

FAILED = "failed"
KINDS = {"ok": "rejected", "rejected_early": "rejected_early"}


@dataclass(frozen=True)
class Mark:
    """One trial to be drawn.

    Attributes:
        row: The trial.
        kind: Its marker: ``chosen, accepted, rejected, rejected_early, failed``.
        time: Latency, in the unit of the axis; ``None`` if nothing is known of it.
        measured: Whether ``time`` was measured; else it is what was expected.
        accuracy: ``None`` if the trial failed.
        foreseen: Time and accuracy that were expected, where both were.
    """

    row: Row
    kind: str
    time: float | None
    measured: bool
    accuracy: float | None
    foreseen: tuple[float, float] | None

    @property
    def title(self) -> str:
        """What is shown when the mouse rests on it."""
        row = self.row
        parts = [f"trial {row.number}: {self.kind.replace('_', ' ')}"]
        if self.accuracy is not None:
            parts.append(f"accuracy {self.accuracy:.4f}")
        if row.speedup is not None:
            parts.append(f"{row.speedup:.2f}x measured")
        if row.expected_speedup is not None:
            parts.append(f"{row.expected_speedup:.2f}x expected")
        return ", ".join([*parts, f"{row.quantized} of {row.ops} ops quantized", *_notes(row)])


def marks_of(story: Story, unit: float) -> list[Mark]:
    """Return what is drawn of a story; repetitions of a recipe are not.

    Args:
        story: The search.
        unit: The float model's latency, in the unit of the axis.
    """
    return [_mark(row, story, unit) for row in story.rows if row.status != "cached"]


def front_of(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points (time, loss) to which no other is faster at no more loss, fastest first."""
    front: list[tuple[float, float]] = []
    for time, loss in sorted(points):
        if not front or loss < front[-1][1]:
            front.append((time, loss))
    return front


def _mark(row: Row, story: Story, unit: float) -> Mark:
    expected = unit / row.expected_speedup if row.expected_speedup else None
    measured = unit / row.speedup if row.speedup else None
    foreseen = None
    if expected is not None and row.expected_loss is not None:
        foreseen = (expected, story.at_loss(row.expected_loss))
    time = expected if measured is None else measured
    return Mark(row, _kind(row, story), time, measured is not None, row.accuracy, foreseen)


def _kind(row: Row, story: Story) -> str:
    if row.number == story.chosen:
        return "chosen"
    return "accepted" if row.accepted else KINDS.get(row.status, FAILED)


def _notes(row: Row) -> list[str]:
    return [row.note] if row.note else []
