from __future__ import annotations

import io
import logging
import time

import pytest

from inc_core.tuning.console import QUIET_SECONDS, WIPE, Console

PATIENCE = 6000  # hundredths of a second


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def console(terminal, clock):
    return Console(terminal, clock=clock, ticking=False)


def run(console, clock, seconds_each, count=5, total=None):
    for _ in console.over(range(count), "evaluating", total):
        clock.now += seconds_each
        console.repaint()


def test_a_terminal_sees_how_far_it_is(console, clock, terminal):
    run(console, clock, 1.0, total=5)
    assert "evaluating: 2/5 batches, about 4 s left" in terminal.getvalue()


def test_the_live_line_is_wiped_at_the_end(console, clock, terminal):
    run(console, clock, 1.0)
    assert terminal.getvalue().endswith(WIPE)


def test_without_a_total_it_counts(console, clock, terminal):
    run(console, clock, 1.0)
    assert "evaluating: 4 batches, 5 s" in terminal.getvalue()


def test_what_is_short_shows_nothing(console, clock, terminal):
    run(console, clock, 0.1)
    assert terminal.getvalue() == ""


def test_nothing_longer_than_two_seconds_is_silent():
    assert QUIET_SECONDS < 2.0


def test_what_is_no_terminal_sees_no_live_line(clock):
    stream = io.StringIO()
    run(Console(stream, clock=clock, ticking=False), clock, 1.0)
    assert stream.getvalue() == ""


def test_what_is_done_inside_of_what_is_shown_with_the_time_of_the_innermost(
    console, clock, terminal
):
    with console.doing("quantizing"), console.doing("trial 3"):
        clock.now += 1
        run(console, clock, 1.0, count=1)
    assert f"{WIPE}trial 3, evaluating: 0 batches, 1 s" in terminal.getvalue()


def test_the_outermost_is_shown_while_nothing_is_done_inside_of_it(console, clock, terminal):
    with console.doing("quantizing"):
        clock.now += 3
        console.repaint()
    assert f"{WIPE}quantizing 3 s{WIPE}" == terminal.getvalue()


def test_the_standing_ends_the_live_line(console, clock, terminal):
    console.show("best: trial 2")
    with console.doing("trial 3"):
        clock.now += 2
        console.repaint()
    assert "trial 3 2 s | best: trial 2" in terminal.getvalue()


def test_the_live_line_fits_the_terminal(console, clock, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with console.doing("x" * 100):
        clock.now += 2
        console.repaint()
    assert max(map(len, terminal.getvalue().split(WIPE))) == 39


def test_a_line_that_stays_goes_above_the_live_line(console, clock, terminal):
    with console.doing("trial 3"):
        clock.now += 2
        console.repaint()
        console.say("Tune 2")
    assert terminal.getvalue() == f"{WIPE}trial 3 2 s{WIPE}Tune 2\n{WIPE}trial 3 2 s{WIPE}"


def test_lines_are_printed_where_there_is_no_terminal():
    stream = io.StringIO()
    Console(stream).say("Tune 2")
    assert stream.getvalue() == "Tune 2\n"


def test_a_script_that_is_not_verbose_prints_no_lines():
    stream = io.StringIO()
    Console(stream, verbose=False).say("Tune 2")
    assert stream.getvalue() == ""


class Gone(io.StringIO):
    """A stream whose reader went away, or whose disk is full."""

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_stream_that_takes_no_more_is_left_alone(clock):
    console = Console(Gone(), clock=clock, live=True, ticking=False)
    console.say("a line")
    run(console, clock, seconds_each=1)
    console.say("another")


@pytest.mark.parametrize("closed", [False, True], ids=["none", "closed"])
def test_without_standard_error_nothing_is_shown(monkeypatch, clock, closed):
    stream = io.StringIO() if closed else None
    if stream is not None:
        stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    console = Console(clock=clock)
    console.say("a line")
    run(console, clock, seconds_each=1)


def test_what_is_logged_does_not_run_into_the_live_line(console, clock, terminal):
    handler = logging.StreamHandler(terminal)
    logging.getLogger().addHandler(handler)
    try:
        with console.doing("trial 3"):
            clock.now += 2
            console.repaint()
            logging.getLogger("inc_core").warning("look out")
        logging.getLogger("inc_core").warning("and after")
    finally:
        logging.getLogger().removeHandler(handler)
    assert terminal.getvalue() == f"{WIPE}trial 3 2 s{WIPE}look out\nand after\n"


def test_a_generator_closed_late_leaves_nothing_behind(console, clock, terminal):
    outer = console.over(range(5), "evaluating")
    next(outer)
    with console.doing("converting"):
        outer.close()
        clock.now += 2
        console.repaint()
    clock.now += 2
    console.repaint()
    assert "converting 2 s" in terminal.getvalue()
    assert "evaluating" not in terminal.getvalue()
    assert terminal.getvalue().endswith(WIPE)


def test_a_framework_that_gives_nothing_back_is_shown_to_be_at_work(terminal, clock):
    """The one test with the thread: it waits for the line, however slow the machine is."""
    console = Console(terminal, clock=clock)
    with console.doing("converting"):
        clock.now += 7
        for _ in range(PATIENCE):
            if "converting 7 s" in terminal.getvalue():
                return
            time.sleep(0.01)
    raise AssertionError("no thread repaints the live line")
