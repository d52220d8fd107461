"""``PluginRecord``: what became of one plugin; ``Offer``: one component that it offers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Offer", "PluginRecord", "Stage", "same_name"]

Stage = Literal["import", "validate", "collect", "ok", "disabled"]


@dataclass(frozen=True)
class PluginRecord:
    """One plugin that was found, working or not.

    Attributes:
        name: Name of its entry point.
        distribution: Name of the distribution that brings it; empty if it was given as an object.
        version: Version of that distribution.
        stage: ``"ok"``, ``"disabled"``, or where it broke: at ``"import"``, when its hooks were
            checked (``"validate"``) or when they were first called (``"collect"``).
        error: Why it is broken or disabled, in words; empty if it works.
        offers: Names of its components by kind.
    """

    name: str
    distribution: str = ""
    version: str = ""
    stage: Stage = "ok"
    error: str = ""
    offers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_broken(self) -> bool:
        """Whether it should have loaded and did not."""
        return self.stage not in ("ok", "disabled")

    @property
    def title(self) -> str:
        """Name, distribution and version for messages."""
        origin = f"{self.distribution} {self.version}".strip()
        return f"{self.name!r} ({origin})" if origin else repr(self.name)

    @property
    def fault(self) -> str:
        """What is wrong with it, in one line of a message."""
        if self.stage == "disabled":
            return f"plugin {self.title} is disabled: {self.error}"
        return f"plugin {self.title} is broken (stage {self.stage!r}): {self.error}"

    def answers_to(self, name: str) -> bool:
        """Whether a user who writes ``name`` means it: its entry point or its distribution."""
        return same_name(name, self.name) or same_name(name, self.distribution)


@dataclass(frozen=True)
class Offer:
    """One component: a class, or ``"package.module:Class"`` that is imported on first use."""

    kind: str
    name: str
    target: Any
    plugin: PluginRecord


def same_name(left: str, right: str) -> bool:
    """Whether two names are the same, as pip has it: case and ``-``, ``_``, ``.`` do not count."""
    return _normalized(left) == _normalized(right)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
