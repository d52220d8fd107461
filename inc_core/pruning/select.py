"""Which weights a pruner is for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from inc_core.errors import ConfigError, did_you_mean

__all__ = ["select_names"]


def select_names(
    known: Sequence[str], names: Sequence[str], excluded: Sequence[str]
) -> tuple[str, ...]:
    """Return the names to prune, in their order.

    Args:
        known: Every weight that can be pruned.
        names: Which of them: each a name, with or without its last part (``conv1.weight``,
            ``conv1``), a pattern with ``*``, or a regular expression; empty for all.
        excluded: Which not, likewise.

    Raises:
        ConfigError: If an entry matches nothing, or nothing is left.
    """
    unknown = [entry for entry in (*names, *excluded) if not _matching(entry, known)]
    if unknown:
        raise ConfigError(
            f"pruning: {unknown[0]!r} matches no weight.{did_you_mean(unknown[0], known)} "
            f"Weights that can be pruned: {', '.join(known)}"
        )
    chosen = set(known) if not names else {n for entry in names for n in _matching(entry, known)}
    chosen -= {name for entry in excluded for name in _matching(entry, known)}
    if not chosen:
        raise ConfigError(
            "pruning: no weight is left to prune; names and excluded_names cover each other"
            if known
            else "pruning: this model has no weight that can be pruned"
        )
    return tuple(name for name in known if name in chosen)


def _matching(entry: str, known: Sequence[str]) -> list[str]:
    try:
        expression = re.compile(entry)
    except re.error:  # a pattern such as *.weight
        expression = None
    return [
        name
        for name in known
        if entry in (name, name.rpartition(".")[0])
        or fnmatchcase(name, entry)
        or (expression is not None and expression.fullmatch(name))
    ]
