"""``inc init --model M``."""

from __future__ import annotations

import argparse
from pathlib import Path

from inc_core.commands.outcome import Outcome
from inc_core.commands.output import tell, write_file
from inc_core.errors import WorkspaceError

__all__ = ["add_arguments", "run"]

# what no defaults can know; `inc check` says what is still missing
_NEXT = (
    "name your data and metric in it (quantization.calibration.dataloader, "
    "evaluation.accuracy.dataloader and .metric), then try it with 'inc check'"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", required=True, help="the model's path")
    parser.add_argument("--framework", default="", help="its framework, if it cannot be guessed")
    parser.add_argument("-o", "--output", default="-", help="file to write; standard output if -")


def run(options: argparse.Namespace) -> Outcome:
    """Render a configuration for the model; an existing file is never overwritten."""
    from inc_core.config.template import render_template
    from inc_core.config.types import Config, ModelConfig
    from inc_core.facade.opened import open_model
    from inc_core.plugin import get_plugins

    opened = open_model(
        Config(model=ModelConfig(framework=options.framework)), options.model, get_plugins()
    )
    op_types = sorted({capability.op.type for capability in opened.capabilities})
    text = render_template(Path(options.model).stem, opened.framework, "static", op_types)
    if options.output == "-":
        return Outcome(text.rstrip("\n"), {"yaml": text})
    path = Path(options.output)
    if path.exists():
        raise WorkspaceError(f"{path} exists; nothing was written. Name another file with -o.")
    write_file(path, text, "-o")
    tell(f"wrote {path}; {_NEXT}")
    return Outcome("", {"path": str(path)})
