"""The table of a search's trials: what was expected beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from inc_core.tuning.lines import left_parts, standing_text
from inc_core.tuning.story import Row, Story

__all__ = ["aligned", "trial_table"]

NOTE_WIDTH = 60  # of an error's text; the journal has all of it

HEADER = (
    "trial", "outcome", "accuracy", "loss", "expected", "speed-up", "expected",
    "samples", "seconds", "quantized", "",
)  # fmt: skip


def trial_table(story: Story) -> Iterator[str]:
    """Yield the table's lines, and where the search stands.

    ``*`` marks what was the best so far, ``>`` the one chosen.
    """
    allowed = "" if story.threshold is None else f", {story.loss(story.threshold):.4f} may be lost"
    yield f"Trials (float {story.accuracy:.4f}{allowed}):"
    yield from aligned([HEADER, *(_cells(row, story) for row in story.rows)])
    yield "  " + "; ".join((_standing(story), *left_parts(story.left)))


def _standing(story: Story) -> str:
    row = story.best_row
    if row is None or row.accuracy is None:
        return standing_text(None, None, None, story.possible)
    return standing_text(row.number, story.loss(row.accuracy), row.speedup, story.possible)


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield rows with their columns aligned, two spaces apart and in."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in cells)).rstrip()


def _cells(row: Row, story: Story) -> tuple[str, ...]:
    mark = ">" if row.number == story.chosen else "*" if row.number in story.best else " "
    about = "~" if row.status == "rejected_early" else ""
    known = row.accuracy is not None
    return (
        f"{mark}{row.number}",
        "accepted" if row.accepted else _OUTCOMES.get(row.status, row.status),
        f"{about}{row.accuracy:.4f}" if known else "-",
        f"{about}{story.loss(row.accuracy):.4f}" if row.accuracy is not None else "-",
        _number(row.expected_loss, ".4f"),
        _number(row.speedup, ".2f"),
        _number(row.expected_speedup, ".2f"),
        str(row.samples),
        f"{row.duration:.1f}",
        f"{row.quantized}/{row.ops}",
        row.note if len(row.note) <= NOTE_WIDTH else row.note[: NOTE_WIDTH - 3] + "...",
    )


_OUTCOMES = {"ok": "rejected", "rejected_early": "rejected early", "cached": "tried before"}


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
