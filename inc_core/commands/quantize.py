"""``inc quantize CONF --model M -o OUT``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inc_core.commands.outcome import Outcome
from inc_core.commands.output import tell
from inc_core.errors import WorkspaceError

if TYPE_CHECKING:
    from inc_core.tuned_model import TunedModel

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("conf", help="the YAML configuration")
    parser.add_argument("--model", required=True, help="the float model's path")
    parser.add_argument("-o", "--output", required=True, help="directory for the quantized model")


def run(options: argparse.Namespace) -> Outcome:
    """Tune, save, and report."""
    from inc_core.errors import GoalNotMetError
    from inc_core.facade.quantization import Quantization
    from inc_core.manifest import check_place
    from inc_core.tuning.console import Console

    quantizer = Quantization(options.conf, verbose=True)
    quantizer.model = options.model
    check_place(Path(options.output))  # not after hours
    tuned = quantizer.fit()
    with Console(verbose=False).doing("saving"):
        _save(tuned, options.output, cached=quantizer.config.tuning.cache.enabled)
    tell(f"saved to {options.output}")
    goal_missed = tuned.result is not None and tuned.result.best is None
    return Outcome(
        tuned.report(),
        dict(tuned.facts),
        GoalNotMetError.exit_code if goal_missed else 0,
    )


def _save(tuned: TunedModel, directory: str, *, cached: bool) -> None:
    """Save; where that fails, say that the search need not be done again."""
    try:
        tuned.save(directory)
    except WorkspaceError as error:
        known = " Evaluations are kept in the cache: the same command with another -o takes them."
        raise WorkspaceError(f"{error}.{known if cached else ''}") from error
