"""``Courier``: brings files and tickets to one worker, one after the other, in a thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from inc_core.tuning.runner.bundle import Bundle, Entry
from inc_core.tuning.runner.engine import Done, Event, Failed, Place, Ticket, Unstarted
from inc_core.tuning.runner.host import Plan
from inc_core.tuning.runner.link import Link, PlaceLostError

__all__ = ["Courier", "News"]


logger = logging.getLogger("inc_core.tuning")


class News(NamedTuple):
    """What a courier says.

    Attributes:
        courier: Who.
        kind: Whether its worker takes trials, must not, has something to tell, or is out of reach.
        problems: Why it must not.
        event: What it tells.
    """

    courier: Courier
    kind: Literal["ready", "refused", "event", "lost"]
    problems: tuple[str, ...] = ()
    event: Event | None = None


class Courier:
    """Works for one worker from the moment that it is seen until it is lost.

    Args:
        place: The worker.
        link: The way to it.
        bundle: The job's files.
        plan: What it is told of the search.
        tell: Takes the news, from the courier's thread.
    """

    def __init__(
        self, place: Place, link: Link, bundle: Bundle, plan: Plan, tell: Callable[[News], None]
    ) -> None:
        self.place = place
        self.ready = self.refused = False
        self.problems: tuple[str, ...] = ()
        self.ticket: Ticket | None = None
        self._link = link
        self._bundle = bundle
        self._plan = plan
        self._tell = tell
        self._there: set[str] = set()  # digests of files that the worker has
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"inc-{place.name}", daemon=True).start()

    def send(self, ticket: Ticket) -> None:
        """Have a ticket run."""
        self.ticket = ticket
        self._inbox.put(ticket)

    def stop(self) -> None:
        """Have the running ticket end; nothing is heard of it any more."""
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            self._call_beside("stop", ticket.attempt)

    def lose(self) -> None:
        """End: the worker is lost, or the search is over."""
        self._inbox.put(None)
        self._link.give_up(self.place.name)

    def _call_beside(self, method: str, *arguments: Any) -> None:
        self._link.tell(self.place.name, method, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        return self._link.call(self.place.name, method, *arguments)

    def _work(self) -> None:
        try:
            problems = self._prepare()
            kind: Literal["ready", "refused"] = "refused" if problems else "ready"
            self._tell(News(self, kind, tuple(problems)))
            while (ticket := self._inbox.get()) is not None:
                self._tell(News(self, "event", event=self._run(ticket)))
        except PlaceLostError:
            self._tell(News(self, "lost"))

    def _prepare(self) -> list[str]:
        try:
            entries = self._bring()
            problems: list[str] = self._call("prepare", self._plan, entries)
        except PlaceLostError:
            raise
        except Exception as error:  # noqa: BLE001 - inc_core may be missing there, or be another
            return [f"{type(error).__name__}: {error}"]
        return problems

    def _bring(self) -> list[Entry]:
        """Send the files that the worker cannot read by itself; return all."""
        entries = self._bundle.entries()
        unknown = [entry for entry in entries if entry.digest not in self._there]
        if unknown:
            missing = self._call("missing", unknown)
            for entry in missing:
                for number, chunk in enumerate(self._bundle.chunks(entry)):
                    self._call("put", entry, chunk, number == 0)
            logger.info(
                "worker %s reads %d files of the job by itself and was sent %d (%.1f MB)",
                self.place.name, len(unknown) - len(missing), len(missing),
                sum(entry.size for entry in missing) / 1e6,
            )  # fmt: skip
            self._there.update(entry.digest for entry in unknown)
        return entries

    def _run(self, ticket: Ticket) -> Event:
        try:
            answer = self._call("run", ticket.to_json(), self._bring())
            if answer["event"] == "closed":  # it was idle for too long
                self._there.clear()
                problems = self._prepare()
                if problems:
                    return Failed(self.place, ticket, "crashed", "; ".join(problems))
                answer = self._call("run", ticket.to_json(), self._bring())
        except PlaceLostError:
            raise
        except Exception as error:  # noqa: BLE001 - the worker's own faults
            text = f"the worker failed: {type(error).__name__}: {error}"
            return Failed(self.place, ticket, "crashed", text)
        return self._event(ticket, answer)

    def _event(self, ticket: Ticket, answer: Mapping[str, Any]) -> Event:
        if answer["event"] == "done":
            return Done(self.place, ticket, answer["reply"])
        if answer["event"] == "failed":
            return Failed(self.place, ticket, answer["status"], answer["error"])
        return Unstarted(self.place, ticket)
