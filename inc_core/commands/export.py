"""``inc export DIR PATH``."""

from __future__ import annotations

import argparse

from inc_core.commands.outcome import Outcome

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("directory", help="what `inc quantize -o` or TunedModel.save() wrote")
    parser.add_argument("path", help="the file or directory to write")
    parser.add_argument(
        "--format", help="what the framework's plugin offers; the suffix of PATH by default"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Export a saved model."""
    from inc_core.tuned_model import load

    written = load(options.directory).export(options.path, options.format)
    return Outcome(f"{options.directory}: exported to {written}", {"path": str(written)})
