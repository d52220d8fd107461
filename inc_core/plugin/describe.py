"""What ``inc plugins`` shows: every plugin, what it offers, what is broken and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inc_core.plugin.kinds import plural
from inc_core.plugin.record import PluginRecord

__all__ = ["describe", "render"]


def describe(records: Sequence[PluginRecord]) -> list[dict[str, Any]]:
    """Return one row of plain values per plugin, for ``--json``."""
    return [
        {
            "name": record.name,
            "distribution": record.distribution,
            "version": record.version,
            "stage": record.stage,
            "error": record.error,
            "offers": {kind: list(names) for kind, names in record.offers.items()},
        }
        for record in records
    ]


def render(records: Sequence[PluginRecord]) -> str:
    """Return the text for a terminal: working plugins first, then broken, then disabled ones."""
    groups = (
        [record for record in records if record.stage == "ok"],
        [record for record in records if record.is_broken],
        [record for record in records if record.stage == "disabled"],
    )
    return "\n".join(line for group in groups for record in group for line in _lines(record))


def _lines(record: PluginRecord) -> list[str]:
    state = {"ok": "", "disabled": "  DISABLED"}.get(record.stage, f"  BROKEN at {record.stage}")
    origin = f"{record.distribution} {record.version}".strip()
    heading = f"{record.name}  ({origin}){state}" if origin else f"{record.name}{state}"
    lines = [heading, *(f"    {line}" for line in record.error.splitlines())]
    for kind, names in record.offers.items():
        lines.append(f"    {plural(kind)}: {', '.join(names)}")
    if record.stage == "ok" and not record.offers:
        lines.append("    offers no components")
    return lines
