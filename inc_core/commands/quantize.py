"""``inc quantize CONF --model M -o OUT``."""

from __future__ import annotations

import argparse
import sys

from inc_core.commands.outcome import Outcome

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
    from inc_core.tuning.console import Console

    quantizer = Quantization(options.conf, verbose=True)
    quantizer.model = options.model
    tuned = quantizer.fit()
    with Console(verbose=False).doing("saving"):
        tuned.save(options.output)
    print(f"saved to {options.output}", file=sys.stderr)
    goal_missed = tuned.result is not None and tuned.result.best is None
    return Outcome(
        tuned.report(),
        dict(tuned.facts),
        GoalNotMetError.exit_code if goal_missed else 0,
    )
