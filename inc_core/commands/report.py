"""``inc report DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from inc_core.commands.outcome import Outcome
from inc_core.commands.output import write_file

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("directory", help="a saved model, a run, or a workspace (its newest run)")
    parser.add_argument(
        "--svg", metavar="FILE", help="draw accuracy over latency of every trial into FILE"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Show what a run or a saved model found."""
    from inc_core.manifest import MANIFEST
    from inc_core.tuned_model import read_facts
    from inc_core.tuning.journal import read_journal
    from inc_core.tuning.report import (
        picture_of,
        report_from_facts,
        report_from_run,
        report_from_run_json,
    )
    from inc_core.tuning.story import story_from_facts, story_from_records
    from inc_core.tuning.workspace import JOURNAL, find_run

    directory = Path(options.directory)
    if (directory / MANIFEST).is_file():
        facts = read_facts(directory)
        outcome, story = Outcome(report_from_facts(facts), facts), story_from_facts(facts)
    else:
        found = find_run(directory)
        outcome = Outcome(report_from_run(found), report_from_run_json(found))
        story = story_from_records(found.name, read_journal(found / JOURNAL))
    if options.svg:
        write_file(Path(options.svg), picture_of(story, directory), "--svg")
    return outcome
