"""``Engine``: places where trials can run, whatever they are; and what is heard from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from inc_core.quant.recipe import Recipe
from inc_core.tuning.runner.contract import Ask

__all__ = ["Done", "Engine", "Event", "Failed", "Gone", "Place", "Span", "Ticket", "Unstarted"]

# Batches of the evaluation data, the first and the one behind the last.
Span: TypeAlias = tuple[int, int]


class Place(NamedTuple):
    """Where one trial can run.

    Attributes:
        name: Of this place; one that is lost and comes back has another.
        host: The machine, which places may share.
    """

    name: str
    host: str


@dataclass(frozen=True)
class Ticket:
    """What runs at a place.

    Attributes:
        attempt: Tells this from every other ticket.
        ask: The trial.
        span: The part of its evaluation; ``None`` is all of it.
        pieces: Into how many each evaluation batch is cut.
        alone: Whether nothing else runs on the host.
    """

    attempt: int
    ask: Ask
    span: Span | None = None
    pieces: int = 1
    alone: bool = False

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Ticket:
        """Inverse of ``to_json``."""
        ask = Ask(fields["number"], Recipe.from_json(fields["recipe"]), fields["gated"])
        span = None if fields["span"] is None else (fields["span"][0], fields["span"][1])
        return cls(fields["attempt"], ask, span, fields["pieces"], fields["alone"])

    def to_json(self) -> dict[str, Any]:
        """Return what a trial's process is told."""
        return {
            "attempt": self.attempt,
            "number": self.ask.number,
            "recipe": self.ask.recipe.to_json(),
            "gated": self.ask.gated,
            "span": self.span,
            "pieces": self.pieces,
            "alone": self.alone,
        }


class Done(NamedTuple):
    """A trial's process has answered."""

    place: Place
    ticket: Ticket
    reply: Mapping[str, Any]


class Failed(NamedTuple):
    """The process died, or was killed at a limit, in the trial."""

    place: Place
    ticket: Ticket
    status: Literal["timeout", "oom", "crashed"]
    error: str


class Unstarted(NamedTuple):
    """What was sent did not run: the process ended before, or the engine was lost."""

    place: Place
    ticket: Ticket


class Gone(NamedTuple):
    """The place itself was lost in the middle of a trial."""

    place: Place
    ticket: Ticket


Event: TypeAlias = Done | Failed | Unstarted | Gone


class Engine(Protocol):
    """Runs one ticket at a place at a time.

    Attributes:
        folder: Where the job lies as files.
        many_machines: Whether a place may be at fault where a trial timed out, or be slow.
    """

    folder: Path
    many_machines: bool

    def places(self) -> Sequence[Place]:
        """Return every place that takes tickets now, busy or not."""

    def is_here(self, place: Place) -> bool:
        """Whether a place is on this machine, so that what runs there disturbs measurements."""

    def send(self, place: Place, ticket: Ticket) -> None:
        """Start a ticket at a place that is free."""

    def stop(self, place: Place) -> None:
        """End what runs at a place; nothing more is heard of its ticket."""

    def narrow(self, place: Place) -> bool:
        """Offer one place less on a host, unless it is the only one; return whether that was done."""

    def events(self) -> Iterator[Event]:
        """Wait for a moment; yield what happened in it.

        Raises:
            EvaluationError: If no process of a trial could start.
            EngineLostError: If no place is left, and none came back in time.
        """
