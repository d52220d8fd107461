"""The command ``inc``.

Exit codes: 0 done; 1 another error; 2 wrong configuration or arguments; 3 a plugin, component or
framework is missing or broken; 4 model, data, calibration or evaluation failed; 5 the workspace or
output cannot be used; 6 the accuracy goal was not met; 7 verification failed; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from inc_core.errors import IncError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "quantize": "tune a model to int8 within an accuracy goal, and save it",
    "check": "dry run: resolve everything, run one batch through every stage, estimate time and memory",
    "init": "write a commented configuration for a model",
    "plugins": "list what is installed, what it offers, and what is broken and why",
    "verify": "reload a saved model in this fresh process and compare it with what was stored",
    "export": "write a saved model in a format of other tools",
    "report": "show what a run or a saved model found",
    "cache": "show what is kept of measurements across runs, or clear it",
}

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        outcome = _command(options.command).run(options)
    except IncError as error:
        _fail(error, as_json=options.json)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    _print(outcome, as_json=options.json)
    return int(outcome.exit_code)


def _parser() -> argparse.ArgumentParser:
    from inc_core import __version__

    parser = argparse.ArgumentParser(
        prog="inc", description="Accuracy-driven model compression.", epilog=__doc__
    )
    parser.add_argument("--version", action="version", version=f"inc {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        subparser.add_argument("--json", action="store_true", help="print one JSON object")
        _command(name).add_arguments(subparser)
    return parser


def _command(name: str) -> Any:
    return importlib.import_module(f"inc_core.commands.{name}")


def _print(outcome: Any, *, as_json: bool) -> None:
    text = json.dumps(outcome.content, indent=1) if as_json else outcome.text
    if not text:
        return
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: IncError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
    print(f"inc: {type(error).__name__}: {error}", file=sys.stderr)
