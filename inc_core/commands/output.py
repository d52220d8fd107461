"""What commands write beside a saved model: small files, whole or not at all, and lines for people."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from inc_core.errors import WorkspaceError

__all__ = ["tell", "write_file"]


def tell(line: str) -> None:
    """Print a line to standard error; one that nobody can read must not undo what was done."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def write_file(path: Path, text: str, option: str) -> None:
    """Write a text file so that it is there whole, or as it was.

    Args:
        path: Its place. What is no plain file, such as ``/dev/stdout``, is written to as it is.
        text: Its content.
        option: The option that named it, for the message.

    Raises:
        WorkspaceError: If it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path, text)
    except OSError as error:
        raise WorkspaceError(
            f"{option} {str(path)!r} cannot be written ({error.strerror or error}): name a file in "
            "an existing folder with free space"
        ) from error


def _replace(path: Path, text: str) -> None:
    staging = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        staging.write_text(text, encoding="utf-8")
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
