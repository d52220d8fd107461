"""How the evaluation of one ask is divided among places, and what its parts make together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from inc_core.tuning.runner.contract import Ask
from inc_core.tuning.runner.engine import Span
from inc_core.tuning.trial import Trial

__all__ = ["WholeWork", "Work"]


class Work(Protocol):
    """The parts of one ask."""

    def spans(self) -> Sequence[Span | None]:
        """Return what starts first; ``None`` is the whole evaluation."""

    def take(self, span: Span | None, reply: Mapping[str, Any]) -> Sequence[Span | None]:
        """Take the answer for a part; return what can start now."""

    def trial(self, ask: Ask) -> Trial | None:
        """Return the trial, once every part that it needs was taken."""


class WholeWork:
    """An evaluation in one place."""

    def __init__(self) -> None:
        self._fields: Mapping[str, Any] | None = None

    def spans(self) -> Sequence[Span | None]:
        """Return the one part."""
        return (None,)

    def take(self, span: Span | None, reply: Mapping[str, Any]) -> Sequence[Span | None]:
        """Take the answer."""
        self._fields = reply["trial"]
        return ()

    def trial(self, ask: Ask) -> Trial | None:
        """Return the trial that was run."""
        return None if self._fields is None else Trial(recipe=ask.recipe, **self._fields)
