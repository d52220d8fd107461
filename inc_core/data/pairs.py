"""Which part of a sample, or of a batch, is the label."""

from __future__ import annotations

from typing import Any

__all__ = ["split_pair"]


def split_pair(item: Any) -> tuple[Any, Any]:
    """Return ``(input, label)`` of a dataset's sample or a loader's batch.

    The rule: a tuple or list of exactly two is ``(input, label)``; anything else is an input alone,
    and its label is ``None``. So two inputs without a label are written ``{"a": a, "b": b}``,
    ``((a, b), None)`` or ``((a, b), 0)``.
    """
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    return item, None
