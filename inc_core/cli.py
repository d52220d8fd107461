"""The command ``inc``.

Exit codes: 0 done; 1 another error; 2 wrong configuration or arguments; 3 a plugin, component or
framework is missing or broken; 4 model, data, calibration or evaluation failed; 5 the workspace or
output cannot be used; 6 the accuracy goal was not met; 7 verification failed; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from inc_core.commands.output import tell
from inc_core.errors import IncError, WorkspaceError

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
        tell("interrupted")
        return INTERRUPTED
    try:
        _print(json.dumps(outcome.content, indent=1) if options.json else outcome.text)
    except OSError as error:
        tell(f"inc: standard output cannot be written ({error.strerror or error})")
        return WorkspaceError.exit_code
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


def _print(text: str) -> None:
    """Print to standard output, or raise ``OSError``; characters that it lacks are escaped."""
    if not text or sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    if sys.stdout.errors == "strict":
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(text, flush=True)
    except OSError as error:
        # what is left in the buffer must not fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # `head`, for one, has seen enough
            raise


def _fail(error: IncError, *, as_json: bool) -> None:
    if as_json:
        with contextlib.suppress(OSError):  # it is said on standard error too
            _print(json.dumps({"error": type(error).__name__, "message": str(error)}))
    tell(f"inc: {type(error).__name__}: {error}")
