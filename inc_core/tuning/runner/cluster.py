"""``Cluster``: an ``Engine`` over the workers of a link, as they come, go and come back."""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from inc_core.errors import EngineLostError
from inc_core.tuning.runner.bundle import Bundle
from inc_core.tuning.runner.courier import Courier, News
from inc_core.tuning.runner.engine import Event, Gone, Place, Ticket, Unstarted
from inc_core.tuning.runner.host import Plan
from inc_core.tuning.runner.link import Link, LinkLostError

__all__ = ["Cluster"]

logger = logging.getLogger("inc_core.tuning")

# How long ``events`` waits, and how often the scheduler is asked who is there.
WAIT_SECONDS = 0.05
WATCH_SECONDS = 0.25

# How often a lost scheduler is looked for.
RETRY_SECONDS = 1.0


class Cluster:
    """Sends tickets to admitted workers, one at a time to each.

    Args:
        connect: Returns a link; called again when the scheduler was lost.
        bundle: The job's files.
        plan: What workers are told of the search.
        patience: Seconds without any worker, or without the scheduler, until the engine is lost.
        clock: Monotonic seconds.
    """

    many_machines = True

    def __init__(
        self,
        connect: Callable[[], Link],
        bundle: Bundle,
        plan: Plan,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = bundle.folder
        self._connect = connect
        self._bundle = bundle
        self._plan = plan
        self._patience = patience
        self._clock = clock
        self._couriers: dict[str, Courier] = {}
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._fewer: Counter[str] = Counter()  # places that are not used, by host
        self._own = _own_hosts()
        self._link: Link | None = connect()
        self._watched = self._tried = -RETRY_SECONDS
        self._alone_since: float | None = None  # without any worker

    def places(self) -> Sequence[Place]:
        """Return the admitted workers, less those that a host has no memory for."""
        fewer = Counter(self._fewer)
        found = []
        for courier in reversed(self._couriers.values()):
            if courier.ready and fewer[courier.place.host]:
                fewer[courier.place.host] -= 1
            elif courier.ready:
                found.append(courier.place)
        return found[::-1]

    def is_here(self, place: Place) -> bool:
        """Whether a worker is on this machine."""
        return place.host in self._own

    def send(self, place: Place, ticket: Ticket) -> None:
        """Have a worker run a ticket."""
        courier = self._couriers.get(place.name)
        if courier is None:  # it went while the board was thinking
            raise AssertionError(f"{place.name} is not there")
        courier.send(ticket)

    def stop(self, place: Place) -> None:
        """Have a worker end its ticket."""
        courier = self._couriers.get(place.name)
        if courier is not None:
            courier.stop()

    def narrow(self, place: Place) -> bool:
        """Use one worker less on a host, unless it is the only one."""
        if sum(other.host == place.host for other in self.places()) < 2:
            return False
        self._fewer[place.host] += 1
        return True

    def survey(self, seconds: float) -> Mapping[str, str]:
        """Return what became of each worker within some seconds: why it is refused, or nothing.

        Raises:
            EngineLostError: As ``events``.
        """
        start = self._clock()
        while self._clock() - start < seconds:
            for _ in self.events():
                pass
            couriers = self._couriers.values()
            if all(courier.ready or courier.refused for courier in couriers) and (
                couriers or self._clock() - start > WATCH_SECONDS
            ):
                break
        found = {}
        for name, courier in self._couriers.items():
            waiting = f"not ready after {seconds:g} s"
            found[name] = "" if courier.ready else "; ".join(courier.problems) or waiting
        return found

    def close(self) -> None:
        """Leave the cluster."""
        for courier in self._couriers.values():
            courier.stop()
            courier.lose()
        self._couriers.clear()
        if self._link is not None:
            self._link.close()
        self._link = None

    def events(self) -> Iterator[Event]:
        """Wait for a moment; yield what happened in it.

        Raises:
            EngineLostError: If there was no scheduler, or no worker, for longer than ``patience``.
        """
        if self._link is None:
            self._reconnect()
        elif self._clock() - self._watched >= WATCH_SECONDS:
            self._watched = self._clock()
            yield from self._watch(self._link)
        try:
            news = self._news.get(timeout=WAIT_SECONDS)
            while True:
                yield from self._hear(news)
                news = self._news.get_nowait()
        except queue.Empty:
            return

    def _hear(self, news: News) -> Iterator[Event]:
        courier = news.courier
        if self._couriers.get(courier.place.name) is not courier:
            return
        if news.kind == "ready":
            courier.ready = True
            logger.info("worker %s takes trials", courier.place.name)
        elif news.kind == "refused":
            courier.refused, courier.problems = True, news.problems
            logger.warning("worker %s is refused: %s", courier.place.name, "; ".join(news.problems))
        elif news.kind == "lost":
            yield from self._look_after(courier)
        elif news.event is not None and news.event.ticket is courier.ticket:
            courier.ticket = None
            yield news.event

    def _look_after(self, courier: Courier) -> Iterator[Event]:
        """Find out what was lost when a call to a worker was: the scheduler, the worker, the call."""
        if self._link is not None:
            yield from self._watch(self._link)
        if self._couriers.get(courier.place.name) is not courier:
            return
        del self._couriers[courier.place.name]  # a new one starts with what is there
        if courier.ticket is not None:
            yield Gone(courier.place, courier.ticket)

    def _watch(self, link: Link) -> Iterator[Event]:
        try:
            present = link.workers()
        except LinkLostError:
            logger.warning(
                "the scheduler is out of reach; waiting up to %g s for it", self._patience
            )
            yield from self._withdraw(link)
            return
        for name in [name for name in self._couriers if name not in present]:
            courier = self._couriers.pop(name)
            courier.lose()
            if courier.ticket is not None:
                yield Gone(courier.place, courier.ticket)
        neighbours = Counter(present.values())
        for name, host in present.items():
            if name not in self._couriers:
                plan = replace(self._plan, neighbours=neighbours[host])
                place = Place(name, host)
                self._couriers[name] = Courier(place, link, self._bundle, plan, self._news.put)
        self._check_patience("no worker takes trials")

    def _check_patience(self, what: str) -> None:
        """Note since when nobody can run anything."""
        if any(not courier.refused for courier in self._couriers.values()):
            self._alone_since = None
            return
        if self._alone_since is None:
            self._alone_since = self._clock()
        if self._clock() - self._alone_since > self._patience:
            raise EngineLostError(f"{what} since {self._patience:g} s")

    def _withdraw(self, link: Link) -> Iterator[Event]:
        """Forget everything that belongs to a link that is lost; no trial is blamed."""
        self._link = None
        couriers, self._couriers = self._couriers, {}
        for courier in couriers.values():
            courier.lose()
            if courier.ticket is not None:
                yield Unstarted(courier.place, courier.ticket)
        link.close()

    def _reconnect(self) -> None:
        self._check_patience("the scheduler is out of reach")
        if self._clock() - self._tried < RETRY_SECONDS:
            time.sleep(WAIT_SECONDS)
            return
        try:
            self._link = self._connect()
        except EngineLostError:
            self._tried = self._clock()
            return
        logger.info("the scheduler is back")


def _own_hosts() -> frozenset[str]:
    names = {"127.0.0.1", "localhost", "::1", socket.gethostname()}
    with contextlib.suppress(OSError):  # a machine that does not know its own name
        names.update(socket.gethostbyname_ex(socket.gethostname())[2])
    return frozenset(names)
