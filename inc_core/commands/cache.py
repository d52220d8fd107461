"""``inc cache``."""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import TYPE_CHECKING

from inc_core.commands.outcome import Outcome

if TYPE_CHECKING:
    from inc_core.tuning.cache import Cache

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "action", nargs="?", choices=("show", "clear"), default="show",
        help="show what is there by kind (the default), or remove everything",
    )  # fmt: skip
    parser.add_argument(
        "--directory", help="the cache of tuning.cache.directory, in place of the user's"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Show the cache, or clear it."""
    from pathlib import Path

    from inc_core.tuning.cache import Cache, cache_folder

    # INC_CACHE=0 stops its use; what is there can still be seen and removed
    cache = Cache(Path(options.directory) if options.directory else cache_folder())
    return _clear(cache) if options.action == "clear" else _show(cache)


def _clear(cache: Cache) -> Outcome:
    size = sum(entry.size_bytes for entry in cache.entries())
    count = cache.clear()
    text = f"removed {count} entries, {_megabytes(size)}, from {cache.folder}"
    return Outcome(text, {"folder": str(cache.folder), "removed": count, "bytes": size})


def _show(cache: Cache) -> Outcome:
    counts: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for entry in cache.entries():
        counts[entry.kind] += 1
        sizes[entry.kind] += entry.size_bytes
    lines = [f"{kind:<16}{counts[kind]:>8} entries{_megabytes(sizes[kind]):>14}" for kind in counts]
    total = f"{_megabytes(sum(sizes.values()))} of at most {_megabytes(cache.limit_bytes)}"
    lines += [f"{cache.folder}: {total}" if lines else f"{cache.folder}: empty"]
    kinds = {kind: {"entries": counts[kind], "bytes": sizes[kind]} for kind in counts}
    content = {"folder": str(cache.folder), "kinds": kinds, "limit_bytes": cache.limit_bytes}
    return Outcome("\n".join(lines), content)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"
