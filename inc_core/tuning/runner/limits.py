"""What a trial in a process of its own may use: time, memory, threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Limits", "available_bytes", "resident_bytes", "thread_environment", "trial_seconds"]

# A trial that is no slower than the float model ends far within these.
LEAST_SECONDS = 60.0
BASELINES = 5

# Of the free memory: the rest is for this process and the system, before it kills anybody.
MEMORY_SHARE = 0.9

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


def trial_seconds(stated: float | None, baseline_seconds: float, workers: int = 1) -> float:
    """Return how long a trial may take: as stated, else by the float model's evaluation.

    Args:
        stated: The user's limit in seconds, if there is one.
        baseline_seconds: Time of the float model's evaluation, with the whole machine.
        workers: How many trials share the machine.
    """
    return stated or max(LEAST_SECONDS, BASELINES * baseline_seconds * workers)


@dataclass(frozen=True)
class Limits:
    """The limits of each trial.

    Attributes:
        seconds: Of wall time.
        memory: Resident bytes while others run; ``None`` is no limit.
        memory_alone: Resident bytes of a trial that runs alone.
        threads: Of one inference; 0 leaves it to the framework.
    """

    seconds: float
    memory: int | None = None
    memory_alone: int | None = None
    threads: int = 0

    @classmethod
    def of(
        cls,
        workers: int,
        *,
        seconds: float,
        memory_mb: float | None = None,
        threads: int = 0,
    ) -> Limits:
        """Divide the machine among workers.

        Args:
            workers: How many trials run side by side.
            seconds: Limit of time.
            memory_mb: The user's limit of memory, for each trial; ``None`` shares what is free.
            threads: What a single trial would use; 0 if that is left to the framework.
        """
        if memory_mb is not None:
            memory = alone = int(memory_mb * 1e6)
            return cls(seconds, memory, alone, _divided(threads, workers))
        free = available_bytes()
        if free is None:
            return cls(seconds, threads=_divided(threads, workers))
        usable = int(free * MEMORY_SHARE)
        return cls(seconds, usable // workers, usable, _divided(threads, workers))


def _divided(threads: int, workers: int) -> int:
    if workers == 1:
        return threads
    return max(1, (threads or _cpu_count()) // workers)


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_environment(threads: int) -> Mapping[str, str]:
    """Return the variables that hold numerical libraries to a number of threads; none for 0.

    What the user has set stays as it is.
    """
    names = (name for name in THREAD_VARIABLES if name not in os.environ)
    return dict.fromkeys(names, str(threads)) if threads else {}


def resident_bytes(pid: int) -> int | None:
    """Return the memory that a process occupies; ``None`` if it is gone, or outside of Linux."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def available_bytes() -> int | None:
    """Return the memory that is free for further processes; ``None`` outside of Linux."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    rows = dict(line.split(":", 1) for line in lines if ":" in line)
    if "MemAvailable" not in rows:
        return None
    free = int(rows["MemAvailable"].split()[0]) * 1024
    return min([free, *_container_bytes()])


# Container limits: version 2, then version 1; the limit and what is used of it.
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def _container_bytes() -> list[int]:
    found = []
    for limit, used in CGROUPS:
        try:
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such version, or the limit is "max"
            continue
    return [left for left in found if left > 0]
