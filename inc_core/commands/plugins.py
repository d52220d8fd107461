"""``inc plugins``."""

from __future__ import annotations

import argparse

from inc_core.commands.outcome import Outcome

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: none."""


def run(options: argparse.Namespace) -> Outcome:
    """List the installed plugins."""
    from inc_core.plugin import get_plugins
    from inc_core.plugin.describe import describe, render

    records = get_plugins().records
    return Outcome(render(records), {"plugins": describe(records)})
