"""What a subcommand gives back: the same content for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Text for a terminal, the content of ``--json``, and the exit code."""

    text: str
    content: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0
