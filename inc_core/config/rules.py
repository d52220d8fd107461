"""How one key of the configuration is described: its rules for cerberus, its words for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inc_core.config import coerce

__all__ = ["Rules", "dataloader", "key", "section"]

Rules = dict[str, Any]


def key(
    kind: str, doc: str, rule: Callable[[Any], Any], *, example: str = "", **rules: Any
) -> Rules:
    """Return the rules of a value: its kind and effect in words, and what coerces it."""

    def coerced(value: Any) -> Any:
        return None if value is None else rule(value)

    kind = kind or ", ".join(f"`{name}`" for name in rules["allowed"])
    meta = {"kind": kind, "doc": doc, "example": example}
    return {"nullable": True, "coerce": coerced, "meta": meta, **rules}


def section(doc: str, /, *, rules: Rules | None = None, example: str = "", **keys: Rules) -> Rules:
    """Return the rules of a mapping with these keys."""
    meta = {"kind": "section", "doc": doc, "example": example}
    return {"type": "dict", "nullable": True, "schema": keys, "meta": meta, **(rules or {})}


def dataloader(doc: str) -> Rules:
    """Return the rules of a data loader."""
    return section(
        f"A data loader: {doc}.",
        dataset=key(
            "component", "where samples come from", coerce.component, required=True, nullable=False
        ),
        transform=key(
            "components",
            "applied to each sample, in order",
            coerce.components,
            example="{NAME: {}}",
        ),
        filter=key("component", "which samples are kept", coerce.component, example="{NAME: {}}"),
        batch_size=key("whole number > 0", "samples per batch", coerce.integer, min=1),
        last_batch=key(
            "", "keep or drop a short last batch", coerce.text, allowed=["rollover", "discard"]
        ),
        shuffle=key("true or false", "draw samples in random order", coerce.boolean),
    )
