"""Find the installed plugins: the entry points of group ``inc_core.v1``, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inc_core import __version__
from inc_core.plugin import builtin
from inc_core.plugin.record import same_name

__all__ = ["GROUP", "Candidate", "Selection", "builtin_candidate", "installed_candidates"]

# The number is the version of the hook contract, apart from the versions of packages.
GROUP = "inc_core.v1"


@dataclass(frozen=True)
class Candidate:
    """A plugin that was found and not imported yet."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]

    def answers_to(self, name: str) -> bool:
        """Whether a user who writes ``name`` means it."""
        return same_name(name, self.name) or same_name(name, self.distribution)


def installed_candidates() -> tuple[Candidate, ...]:
    """Return every entry point of the group, sorted by distribution, then name; import none."""
    # here, because `import inc_core` must not pay for it
    from importlib_metadata import entry_points

    found = [
        Candidate(
            name=point.name,
            distribution=point.dist.name if point.dist else "",
            version=point.dist.version if point.dist else "",
            load=point.load,
        )
        for point in entry_points(group=GROUP)
    ]
    return tuple(sorted(found, key=lambda candidate: (candidate.distribution, candidate.name)))


def builtin_candidate() -> Candidate:
    """Return what the core itself offers, as the plugin ``builtin``."""
    return Candidate("builtin", "inc-core", __version__, lambda: builtin)


@dataclass(frozen=True)
class Selection:
    """Which of the installed plugins load.

    Attributes:
        only: Load nothing else (``INC_PLUGINS``); ``None`` loads all.
        blocked: Do not load these (``INC_DISABLED_PLUGINS``).
        strict: Whether a broken plugin is an error at once (``INC_STRICT_PLUGINS=1``).
    """

    only: tuple[str, ...] | None = None
    blocked: tuple[str, ...] = ()
    strict: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Selection:
        """Read ``INC_PLUGINS``, ``INC_DISABLED_PLUGINS`` and ``INC_STRICT_PLUGINS``."""
        only = environment.get("INC_PLUGINS")
        return cls(
            only=None if only is None else _names(only),
            blocked=_names(environment.get("INC_DISABLED_PLUGINS", "")),
            strict=environment.get("INC_STRICT_PLUGINS", "0") not in ("", "0"),
        )

    def refusal(self, candidate: Candidate) -> str:
        """Return why a candidate does not load, or an empty string."""
        if any(candidate.answers_to(name) for name in self.blocked):
            return "INC_DISABLED_PLUGINS names it"
        if self.only is not None and not any(candidate.answers_to(name) for name in self.only):
            return "INC_PLUGINS does not name it"
        return ""

    def unmatched(self, candidates: tuple[Candidate, ...]) -> tuple[str, ...]:
        """Return the names that no candidate answers to: spelling mistakes, as a rule."""
        named = (*(self.only or ()), *self.blocked)
        return tuple(
            name for name in named if not any(entry.answers_to(name) for entry in candidates)
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
