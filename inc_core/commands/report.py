"""``inc report DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from inc_core.commands.outcome import Outcome

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("directory", help="a saved model, a run, or a workspace (its newest run)")


def run(options: argparse.Namespace) -> Outcome:
    """Show what a run or a saved model found."""
    from inc_core.manifest import MANIFEST
    from inc_core.tuned_model import load
    from inc_core.tuning.report import report_from_run, report_from_run_json

    directory = Path(options.directory)
    if (directory / MANIFEST).is_file():
        tuned = load(directory)
        return Outcome(tuned.report(), dict(tuned.facts))
    return Outcome(report_from_run(directory), report_from_run_json(directory))
