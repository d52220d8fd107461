"""Delta debugging: from float upwards, so that there is a result if any group can be quantized."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from inc_core.tuning.trial import Trial

__all__ = ["build_up"]

Array: TypeAlias = "np.ndarray[Any, Any]"
Asking: TypeAlias = "Generator[Array, Trial, bool]"

PARTS = 4
AFTER_FIRST = 24  # trials that may still follow once something passed


def build_up(order: Array, start: Array, tried: set[bytes]) -> Asking:
    """Add blocks of columns to a selection that passes, split a block that fails; yield selections.

    Args:
        order: One column per group that is float in ``start``, the safest first.
        start: What passes, shape ``(M,)``: float, or the best so far.
        tried: Selections that are known to fail, as bytes.

    Returns:
        Whether any selection passed. Without one, every single column was tried.
    """
    current = start
    blocks = [block for block in np.array_split(order, PARTS) if len(block)]
    passed, left = False, AFTER_FIRST
    while blocks and left > 0:
        block = blocks.pop(0)
        candidate = current.copy()
        candidate[block] = True
        left -= passed
        fails = candidate.tobytes() in tried
        if not fails:
            trial = yield candidate
            tried.add(candidate.tobytes())
            fails = not trial.accepted
        if not fails:
            current, passed = candidate, True
        elif len(block) > 1:
            half = (len(block) + 1) // 2
            blocks = [block[:half], block[half:], *blocks]
    return passed
