"""The rules of ``tuning.runner``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from inc_core.config import coerce
from inc_core.config.rules import Rules, key, section

__all__ = ["runner_rules"]


def runner_rules() -> Rules:
    """Return the rules of the section."""
    return section(
        "Where trials run.",
        rules={"check_with": _check_scheduler},
        name=key(
            "",
            "inline: in this process; process: in children that may crash, hang or run out of memory; "
            "dask: in such children of the workers of a Dask cluster",
            coerce.text,
            allowed=["inline", "process", "dask"],
        ),
        workers=key(
            "whole number > 0",
            "trials side by side, if the strategy proposes several; inline runs them in turn",
            coerce.integer,
            min=1,
        ),
        trial_timeout=key(
            "seconds > 0",
            "limit of one trial; else 60 s, or 5 times the float model's evaluation if that is more",
            coerce.number,
            min=0.001,
            example="600",
        ),
        memory_limit_mb=key(
            "number > 0",
            "limit of one trial's process, on Linux; else its share of the free memory",
            coerce.number,
            min=1,
            example="4000",
        ),
        address=key(
            "text", "dask: address of the scheduler", coerce.text
        ),
        scheduler_file=key(
            "path", "dask: the file that the scheduler wrote, in place of `address`", coerce.text
        ),
        reconnect_timeout=key(
            "seconds > 0",
            "dask: how long a lost scheduler, or any worker, is waited for",
            coerce.number,
            min=0.001,
        ),
        on_engine_loss=key(
            "",
            "dask: what happens then. local: the rest runs in processes here; pause: the search ends "
            "with its best so far and may be taken up later; fail: an error",
            coerce.text,
            allowed=["local", "pause", "fail"],
        ),
    )  # fmt: skip


def _check_scheduler(field: str, value: Any, error: Callable[[str, str], None]) -> None:
    """Dask needs to know one scheduler; the other runners have none."""
    if not isinstance(value, Mapping):
        return
    stated = [name for name in ("address", "scheduler_file") if value.get(name) is not None]
    if value.get("name") != "dask" and stated:
        error(field, f"has {stated[0]!r}, which is for name: dask")
    elif value.get("name") == "dask" and len(stated) == 0:
        error(field, "name: dask needs the scheduler's 'address' or 'scheduler_file'")
    elif len(stated) == 2:
        error(field, "holds both 'address' and 'scheduler_file'; keep one")
