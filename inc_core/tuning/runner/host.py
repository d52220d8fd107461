"""``Host``: one search on one worker of a cluster. It runs trials in a child and outlives it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inc_core.errors import EvaluationError
from inc_core.machine import usable_cores
from inc_core.tuning.runner.bundle import Entry, Store
from inc_core.tuning.runner.crew import Crew
from inc_core.tuning.runner.engine import Done, Event, Failed, Ticket
from inc_core.tuning.runner.limits import MEMORY_SHARE, Limits, available_bytes, trial_seconds
from inc_core.tuning.runner.payload import write_start_elsewhere
from inc_core.tuning.runner.preflight import RefusedError

__all__ = ["Host", "Plan"]

# A search that says nothing for so long has probably died; its child would hold memory for ever.
IDLE_SECONDS = 1800.0


@dataclass(frozen=True)
class Plan:
    """What a worker is told of a search.

    Attributes:
        expects: What its machine must have, see ``preflight.expectations``.
        baseline_seconds: The float model's evaluation where the search runs.
        cores: Cores that it used there.
        trial_timeout: The user's limit of time in seconds.
        memory_limit_mb: The user's limit of memory.
        neighbours: How many workers share the machine.
    """

    expects: Mapping[str, Any]
    baseline_seconds: float
    cores: int
    trial_timeout: float | None = None
    memory_limit_mb: float | None = None
    neighbours: int = 1

    def limits(self, threads: int, memory_limit: int | None) -> Limits:
        """Return the limits of a trial on this machine.

        Args:
            threads: Of the worker; a trial may use all of them.
            memory_limit: Bytes that the worker may use, by the cluster's own rules.
        """
        slower = max(1, -(-self.cores // max(threads, 1)))  # fewer threads need more time
        seconds = trial_seconds(self.trial_timeout, self.baseline_seconds, slower)
        if self.memory_limit_mb is not None:
            memory = alone = int(self.memory_limit_mb * 1e6)
            return Limits(seconds, memory, alone, threads)
        free = available_bytes()
        bounds = [bound for bound in (free, memory_limit) if bound is not None]
        if not bounds:
            return Limits(seconds, threads=threads)
        usable = int(min(bounds) * MEMORY_SHARE)
        share = usable if free is None else min(usable, int(free * MEMORY_SHARE) // self.neighbours)
        return Limits(seconds, share, usable, threads)


class Host:
    """One search on one worker.

    Args:
        folder: For the files of this search.
        store: Holds files by content, whatever search they are of.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder = folder
        self._store = store
        self._crew: Crew | None = None
        self._stopped: set[int] = set()
        self._idle: threading.Timer | None = None

    def missing(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the files that have to be sent."""
        return self._store.missing(entries)

    def put(self, entry: Entry, chunk: bytes, first: bool) -> None:
        """Take a part of a file."""
        self._store.put(entry, chunk, first=first)

    def prepare(
        self, plan: Plan, entries: Sequence[Entry], threads: int, memory_limit: int | None
    ) -> list[str]:
        """Start the child; return why trials must not run here, if there is a reason."""
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._store.lay_out(entries, self._folder)
        limits = plan.limits(threads or usable_cores(), memory_limit)
        write_start_elsewhere(self._folder, limits.threads, plan.expects)
        crew = self._crew = Crew(1, limits, self._folder)
        try:
            resident = crew.warm(crew.places()[0])
        except RefusedError as error:
            self.close()
            return error.problems
        except EvaluationError as error:
            self.close()
            return [str(error)]
        model = sum(entry.size for entry in entries)  # the quantized one beside the float one
        if limits.memory is not None and resident + model > limits.memory:
            self.close()
            return [
                f"a trial takes some {(resident + model) / 1e6:.0f} MB, and has "
                f"{limits.memory / 1e6:.0f} MB there"
            ]
        self._rest()
        return []

    def run(self, fields: Mapping[str, Any], entries: Sequence[Entry]) -> Mapping[str, Any]:
        """Run a ticket; return what came of it as plain values.

        Raises:
            EvaluationError: If the child could not start.
        """
        crew = self._crew
        if crew is None:
            return {"event": "closed"}
        self._wake()
        self._store.lay_out(entries, self._folder)
        ticket, place = Ticket.from_json(fields), crew.places()[0]
        crew.send(place, ticket)
        try:
            while ticket.attempt not in self._stopped:
                for event in crew.events():
                    return _plain(event)
            crew.stop(place)
            return {"event": "unstarted"}
        finally:
            self._rest()

    def stop(self, attempt: int) -> None:
        """Have ``run`` end; may be called from another thread."""
        self._stopped.add(attempt)

    def close(self) -> None:
        """End the child and remove what only this search used."""
        self._wake()
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._store.prune()

    def _wake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()

    def _rest(self) -> None:
        self._idle = threading.Timer(IDLE_SECONDS, self.close)
        self._idle.daemon = True
        self._idle.start()


def _plain(event: Event) -> Mapping[str, Any]:
    if isinstance(event, Done):
        return {"event": "done", "reply": event.reply}
    if isinstance(event, Failed):
        return {"event": "failed", "status": event.status, "error": event.error}
    return {"event": "unstarted"}
