"""``inc check CONF --model M``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from inc_core.commands.outcome import Outcome

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("conf", help="the YAML configuration")
    parser.add_argument("--model", required=True, help="the model's path")
    parser.add_argument("--ops", action="store_true", help="list every op that can be quantized")


def run(options: argparse.Namespace) -> Outcome:
    """Resolve everything and send one batch through every stage."""
    from inc_core.facade.quantization import Quantization

    quantizer = Quantization(options.conf)
    quantizer.model = options.model
    report = quantizer.check()
    return Outcome(report.render(names=options.ops), asdict(report))
