"""``DaskLink``: calls functions on the workers of a Dask cluster that others started.

Only this module knows Dask. Each call is pinned to one worker and never repeated by the scheduler: the
board counts losses itself.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from inc_core.errors import EngineLostError, MissingFrameworkError
from inc_core.tuning.runner.bundle import Store
from inc_core.tuning.runner.host import Host

__all__ = ["Address", "DaskLink", "Link", "LinkLostError", "PlaceLostError", "call_host"]

DASK_LOGGER = logging.getLogger("distributed.client")

# Within this time a scheduler answers, or it is out of reach.
CONNECT_SECONDS = 5.0

# A client that cannot say goodbye within this time is forgotten.
CLOSE_SECONDS = 1.0

_FOLDER = "inc"


class LinkLostError(Exception):
    """The scheduler is out of reach."""


class PlaceLostError(Exception):
    """The worker of a call was lost, or given up."""


class Link(Protocol):
    """The way to the workers."""

    def workers(self) -> Mapping[str, str]:
        """Return host by address of every worker that is there now.

        Raises:
            LinkLostError: If nobody can say.
        """

    def call(self, address: str, method: str, *arguments: Any) -> Any:
        """Return what a method of the worker's ``Host`` returns.

        Raises:
            PlaceLostError: If the worker is lost, or ``give_up`` was called.
            Exception: Whatever the method raises, and what keeps it from being called.
        """

    def tell(self, address: str, method: str, *arguments: Any) -> None:
        """Call a method beside a running ``call``; nobody waits for it."""

    def give_up(self, address: str) -> None:
        """End the waiting of every call to a worker."""

    def close(self) -> None:
        """Leave the cluster as it was."""


@dataclass(frozen=True)
class Address:
    """Where a scheduler is: one of both.

    Attributes:
        address: Such as ``tcp://10.0.0.1:8786``.
        scheduler_file: Path of the file that it wrote.
    """

    address: str | None = None
    scheduler_file: str | None = None

    def __str__(self) -> str:
        return self.address or f"scheduler file {self.scheduler_file}"

    def connect(self) -> DaskLink:
        """Connect.

        Raises:
            EngineLostError: If there is nobody.
            MissingFrameworkError: If Dask is not installed.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise MissingFrameworkError(
                "tuning.runner.name: dask needs Dask distributed: pip install 'inc-core[dask]'"
            ) from error
        if self.scheduler_file is not None and not Path(self.scheduler_file).is_file():
            raise EngineLostError(f"there is no {self}: start the scheduler with --scheduler-file")
        try:
            client = Client(
                self.address,
                scheduler_file=self.scheduler_file,
                timeout=CONNECT_SECONDS,
                set_as_default=False,
            )
        except (OSError, ValueError) as error:
            raise EngineLostError(f"no Dask scheduler answers at {self}: {error}") from error
        return DaskLink(client)


class DaskLink:
    """A ``Link`` over a client of Dask.

    Args:
        client: Connected, and ours.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._run = uuid.uuid4().hex[:12]  # of this connection: its hosts are its own
        self._calls = 0
        self._futures: dict[str, set[Any]] = defaultdict(set)
        # what Dask says of lost connections is said by us, once
        self._level = DASK_LOGGER.level
        DASK_LOGGER.setLevel(logging.CRITICAL)

    def workers(self) -> Mapping[str, str]:
        """Return host by address."""
        if self._client.status != "running":
            raise LinkLostError(self._client.status)
        try:
            workers = self._client.scheduler_info()["workers"]
        except Exception as error:
            raise LinkLostError(str(error)) from error
        return {address: str(facts["host"]) for address, facts in workers.items()}

    def call(self, address: str, method: str, *arguments: Any) -> Any:
        """Call, and wait."""
        self._calls += 1
        lost = (asyncio.CancelledError, concurrent.futures.CancelledError)
        try:
            future = self._client.submit(
                call_host, self._run, method, arguments,
                key=f"inc-{self._run}-{method}-{self._calls}-{uuid.uuid4().hex[:8]}",
                workers=[address], allow_other_workers=False, pure=False, retries=0,
            )  # fmt: skip
        except Exception as error:
            raise PlaceLostError(str(error)) from error
        self._futures[address].add(future)
        try:
            return future.result()
        except lost as error:
            raise PlaceLostError(address) from error
        except Exception as error:
            if type(error).__name__ in ("KilledWorker", "CommClosedError", "TimeoutError"):
                raise PlaceLostError(address) from error
            raise
        finally:
            self._futures[address].discard(future)

    def tell(self, address: str, method: str, *arguments: Any) -> None:
        """Run beside the worker's tasks, in its event loop."""
        with contextlib.suppress(Exception):  # it is being lost
            self._client.run(tell_host, self._run, method, arguments, workers=[address], wait=False)

    def give_up(self, address: str) -> None:
        """Cancel the futures of a worker."""
        for future in list(self._futures.pop(address, ())):
            with contextlib.suppress(Exception):  # the scheduler is out of reach
                future.cancel()

    def close(self) -> None:
        """End what belongs to this connection."""
        for address in list(self._futures):
            self.give_up(address)
        with contextlib.suppress(Exception):  # the scheduler is out of reach
            if self._client.status == "running":
                self._client.run(tell_host, self._run, "close", (), on_error="ignore")
            self._client.close(timeout=CLOSE_SECONDS)
        DASK_LOGGER.setLevel(self._level)


def call_host(run: str, method: str, arguments: tuple[Any, ...]) -> Any:
    """Call a method of a search's host; runs as a task on a worker."""
    from distributed import get_worker

    worker = get_worker()
    if method == "prepare":
        memory_limit = getattr(worker.memory_manager, "memory_limit", None)
        arguments = (*arguments, worker.state.nthreads, memory_limit)
    call: Callable[..., Any] = getattr(_host_of(worker, run), method)
    return call(*arguments)


def tell_host(run: str, method: str, arguments: tuple[Any, ...], dask_worker: Any) -> None:
    """Call a method of a search's host in the worker's event loop, if there is one."""
    host = _hosts_of(dask_worker).get(run)
    if host is not None:
        getattr(host, method)(*arguments)


def _hosts_of(worker: Any) -> dict[str, Host]:
    hosts: dict[str, Host] = worker.__dict__.setdefault("inc_hosts", {})
    return hosts


def _host_of(worker: Any, run: str) -> Host:
    hosts = _hosts_of(worker)
    if run not in hosts:
        folder = Path(worker.local_directory, _FOLDER)
        hosts[run] = Host(folder / f"run-{run}", Store(folder / "files"))
    return hosts[run]
