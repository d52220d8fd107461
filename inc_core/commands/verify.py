"""``inc verify DIR``."""

from __future__ import annotations

import argparse
import math

from inc_core.commands.outcome import Outcome

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("directory", help="what `inc quantize -o` or TunedModel.save() wrote")


def run(options: argparse.Namespace) -> Outcome:
    """Verify a saved model; a difference is raised as an error."""
    from inc_core.tuned_model import verify

    found = verify(options.directory)
    if not found.samples:
        outputs = "no sample is stored, so outputs were not compared"
    elif found.bit_equal:
        outputs = f"outputs of {found.samples} stored samples are equal to the last bit"
    else:
        outputs = f"outputs of {found.samples} stored samples agree to {found.snr_db:.1f} dB"
    text = (
        f"{options.directory}: verified. {found.files} files and {found.integer_weights} integer "
        f"weights are as saved; {outputs}."
    )
    content = {**vars(found), "snr_db": found.snr_db if math.isfinite(found.snr_db) else None}
    return Outcome(text, content)
