"""Keep a native library's stray lines out of the user's standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_stdout"]


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Discard what is written to file descriptor 1, below Python, for the time of the block.

    HiGHS in scipy 1.15 to 1.17 prints ``HighsMipSolverData::transformNewIntegerFeasibleSolution``
    whatever its options say; ``inc ... --json`` must stay readable.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output that could be littered
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
