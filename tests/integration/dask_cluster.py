"""A Dask cluster of real processes on this machine, and searches on it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


class LocalCluster:
    """A scheduler and workers, each a process of its own; ``close`` ends them."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.workers = []
        self.port = 0
        self.start_scheduler()

    @property
    def address(self):
        return f"tcp://127.0.0.1:{self.port}"

    def start_scheduler(self):
        """Start it, at the port that it had before."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port),
            "--no-dashboard", "--scheduler-file", str(file),
        )  # fmt: skip
        assert wait_until(lambda: _complete(file)), "the scheduler did not start"
        self.port = int(_complete(file)["address"].rpartition(":")[2])

    def add_worker(self, path=()):
        """Start a worker that finds what is in the folders of ``path``; return its process."""
        worker = self._start(
            "distributed.cli.dask_worker", self.address, "--nthreads", "1", "--no-nanny",
            "--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(self.folder),
            "--death-timeout", "60", path=path,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def count(self):
        """Return how many workers the scheduler knows."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return len(client.scheduler_info()["workers"])

    def have(self, count):
        """Make it that many healthy workers: the dead and those beyond are replaced or ended."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        if self.scheduler.poll() is not None:
            for worker in self.workers:  # they do not look for another one
                end(worker)
            self.workers = []
            self.start_scheduler()
        while len(self.workers) > count:
            end(self.workers.pop())
        while len(self.workers) < count:
            self.add_worker()
        assert wait_until(lambda: self.count() == count), "the workers did not come"

    def end_scheduler(self):
        end(self.scheduler)

    def close(self):
        for process in [*self.workers, self.scheduler]:
            end(process)

    def _start(self, module, *arguments, path=()):
        places = [str(HERE), *map(str, path), *sys.path]
        with (self.folder / f"{module.rpartition('_')[2]}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(places))},
                stdout=log, stderr=log,
            )  # fmt: skip


def _complete(file):
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text())
    return None


def end(process):
    process.kill()
    process.wait()
