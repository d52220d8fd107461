from __future__ import annotations

import io

from inc_core.tuning.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(stream, seconds_each, count=5, total=None):
    now = [0.0]
    progress = Progress(stream, lambda: now[0])
    for _ in progress.over(range(count), "evaluating", total):
        now[0] += seconds_each
    return stream.getvalue()


def test_a_terminal_sees_how_far_it_is():
    written = run(Terminal(), 1.0, total=5)
    assert "evaluating: 3/5 batches, 3 s, about 2 s left" in written
    assert written.endswith(" \r")  # wiped


def test_without_a_total_it_counts():
    assert "evaluating: 4 batches, 4 s" in run(Terminal(), 1.0)


def test_what_is_short_shows_nothing():
    assert run(Terminal(), 0.1) == ""


def test_what_is_no_terminal_sees_nothing():
    assert run(io.StringIO(), 1.0) == ""
