"""Interleaved timing on a shared machine: process CPU time, medians of per-round ratios, tables."""

from __future__ import annotations

import datetime
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Times of one variant over all rounds.

    Attributes:
        name: Of the variant.
        milliseconds: Median CPU time of one call.
        ratio: Median over rounds of the base's time over this one's: above 1 is faster.
        low: First quartile of that ratio.
        high: Third quartile of that ratio.
        rounds: Seconds of one call in each round.
    """

    name: str
    milliseconds: float
    ratio: float
    low: float
    high: float
    rounds: tuple[float, ...]


def faster_by(timing: Timing, rival: Timing) -> float:
    """Return how many times as fast as a rival a variant is: the median over their common rounds."""
    return float(np.median(np.array(rival.rounds) / np.array(timing.rounds)))


def interleave(
    variants: Mapping[str, Callable[[], object]],
    base: str,
    *,
    rounds: int = 11,
    block_seconds: float = 0.1,
    budget_seconds: float = 90.0,
) -> dict[str, Timing]:
    """Time variants in turn, so that a change of the machine's load meets all of them.

    The clock is process CPU time: other processes may share the core. The order is reversed every
    other round. A variant that is far slower than the base is called once a round.

    Args:
        variants: What to call, by name.
        base: The variant that ratios refer to.
        rounds: How often each variant's block is timed; fewer, but at least 5, if the budget ends.
        block_seconds: About how long one block of calls takes.
        budget_seconds: Wall time after which no further round is started.
    """
    calls = {name: _calls_per_block(call, block_seconds) for name, call in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    start = time.perf_counter()
    for number in range(rounds):
        for name in list(variants)[:: 1 if number % 2 == 0 else -1]:
            times[name].append(_block(variants[name], calls[name]))
        if number >= 4 and time.perf_counter() - start > budget_seconds:
            break
    return {name: _timing(name, times[base], times[name]) for name in variants}


def print_timings(title: str, timings: Mapping[str, Timing]) -> None:
    """Print one line per variant."""
    rows = [
        (t.name, f"{t.milliseconds:.2f}", f"{t.ratio:.2f}", f"{t.low:.2f}-{t.high:.2f}")
        for t in timings.values()
    ]
    print_table(title, ("variant", "ms", "x", "q25-q75"), rows)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with aligned columns."""
    lines = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    print(f"\n{title}")
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  " + "  ".join(cells).rstrip(), flush=True)


def print_heading(title: str, *packages: str, clock: str = "1 thread, process CPU time") -> None:
    """Print what was run, when, on which machine and with which versions."""
    print(f"{title}\n  date      {datetime.date.today().isoformat()}")
    print(f"  machine   {processor()}, {clock}")
    print(f"  versions  python {platform.python_version()}, {', '.join(map(_versioned, packages))}")


def processor() -> str:
    """Return the processor's name and those of its 8-bit instructions."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(
        (part.strip() for part in line.split(":", 1)) for line in text.splitlines() if ":" in line
    )
    wanted = ("avx2", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")
    flags = fields.get("flags", "").split()
    return f"{fields.get('model name', 'unknown')} ({' '.join(f for f in wanted if f in flags)})"


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process so far, in MB.

    Read from the kernel where it tells: ``ru_maxrss`` begins with the peak of the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _versioned(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} (not installed)"


def _calls_per_block(call: Callable[[], object], block_seconds: float) -> int:
    call()
    return max(1, int(block_seconds / max(_block(call, 1), 1e-6)))


def _block(call: Callable[[], object], calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) / calls


def _timing(name: str, base: Sequence[float], own: Sequence[float]) -> Timing:
    ratios = np.array(base) / np.array(own)
    low, ratio, high = (float(np.quantile(ratios, q)) for q in (0.25, 0.5, 0.75))
    return Timing(name, float(np.median(own)) * 1e3, ratio, low, high, tuple(own))
