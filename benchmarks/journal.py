"""What the journal costs: one finished trial appended, and 10,000 records replayed.

A model of 10,000 ops; each trial keeps half of the ops float, other ones each time, which is the
longest difference to the recipe before it. Beside the whole append (wall time) stands its part that
is not waiting for the disk (process CPU time).

Run: python benchmarks/journal.py [--ops 10000] [--folder .]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import print_heading, print_table

from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32, OpConfig, OpKey, TensorSpec
from inc_core.tuning.history import History
from inc_core.tuning.journal import Journal, Record, encode
from inc_core.tuning.packing import RecipePacker, pack_base, pack_trial
from inc_core.tuning.trial import Trial

APPENDS = 60
RECORDS = 10_000
TARGET_APPEND_MS = 5.0
TARGET_REPLAY_SECONDS = 1.0

INT8 = OpConfig(
    "static", TensorSpec("uint8", "asym"), TensorSpec("int8", "sym", granularity="per_channel")
)


def default_recipe(ops: int) -> Recipe:
    return Recipe({OpKey(f"/layers.{n}/conv/Conv", "Conv"): INT8 for n in range(ops)}, 100)


def half_float(base: Recipe, rng: np.random.Generator) -> Recipe:
    ops = list(base.ops)
    return base.with_ops({ops[n]: FP32 for n in rng.permutation(len(ops))[: len(ops) // 2]})


def trial_of(number: int, recipe: Recipe) -> Trial:
    return Trial(number, recipe, 0.75, objectives={"performance": 0.01}, seconds=1.0, samples=9)


def time_appends(folder: Path, ops: int, count: int) -> tuple[list[float], list[float], float]:
    """Return wall and CPU seconds of each append, and the mean size of a record in bytes."""
    rng = np.random.default_rng(0)
    base = default_recipe(ops)
    wall, cpu = [], []
    with Journal(folder / "append.jsonl") as journal:
        history = History(journal)
        history.finish(trial_of(1, base), base.fingerprint)  # with it the base, once per run
        before = journal.path.stat().st_size
        for number in range(2, count + 2):
            recipe = half_float(base, rng)
            fingerprint = recipe.fingerprint  # the loop has it from looking for equal recipes
            starts = time.perf_counter(), time.process_time()
            history.finish(trial_of(number, recipe), fingerprint)
            wall.append(time.perf_counter() - starts[0])
            cpu.append(time.process_time() - starts[1])
        return wall, cpu, (journal.path.stat().st_size - before) / count


def time_sync(folder: Path, size: int) -> float:
    """Return the median wall seconds of writing and syncing a file's next bytes: the disk's own."""
    handle = os.open(folder / "plain", os.O_RDWR | os.O_CREAT)
    seconds = []
    for _ in range(APPENDS):
        start = time.perf_counter()
        os.write(handle, bytes(size))
        getattr(os, "fdatasync", os.fsync)(handle)
        seconds.append(time.perf_counter() - start)
    os.close(handle)
    return statistics.median(seconds)


def time_replay(folder: Path, ops: int, changed: int) -> tuple[float, float]:
    """Return the CPU seconds until 10,000 journaled trials can be recalled, and the file's MB."""
    rng = np.random.default_rng(0)
    base = default_recipe(ops)
    keys, packer = list(base.ops), RecipePacker(base)
    path = folder / f"replay-{ops}.jsonl"
    with path.open("wb") as file:
        file.write(encode(Record("base", {"recipe": pack_base(base)})))
        for number in range(1, RECORDS + 1):
            chosen = rng.integers(0, ops, changed)
            trial = trial_of(number, base.with_ops({keys[n]: FP32 for n in chosen}))
            fields = {"fingerprint": f"{number:016x}", "trial": pack_trial(trial, packer)}
            file.write(encode(Record("finished", fields)))
    start = time.process_time()
    with Journal(path) as found:
        replayed = History(found)
    seconds = time.process_time() - start
    assert replayed.knows(f"{RECORDS:016x}")
    return seconds, path.stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ops", type=int, default=10_000)
    parser.add_argument("--folder", default=".", help="on the disk of interest")
    options = parser.parse_args()
    print_heading("The journal", "numpy", clock="wall and process CPU time")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        wall, cpu, size = time_appends(folder, options.ops, APPENDS)
        disk = time_sync(folder, round(size))
        rows = [
            ("append, without the disk (CPU)", f"{1e3 * statistics.median(cpu):.2f}", ""),
            ("append, synced (wall)", f"{1e3 * statistics.median(wall):.2f}", f"< {TARGET_APPEND_MS:g}"),
            ("the same bytes written and synced (wall)", f"{1e3 * disk:.2f}", ""),
        ]  # fmt: skip
        title = f"One trial of {options.ops} ops, half of them changed: {size / 1e3:.1f} kB"
        print_table(title, ("median of", "ms", "target"), rows)
        rows = []
        for ops, changed in ((100, 50), (options.ops, 10)):
            seconds, size_mb = time_replay(folder, ops, changed)
            target = f"< {TARGET_REPLAY_SECONDS:g}"
            rows.append((ops, changed, f"{size_mb:.1f}", f"{seconds:.2f}", target))
        header = ("ops", "changed in each trial", "MB", "CPU s", "target")
        print_table(f"Replay of {RECORDS} finished trials", header, rows)


if __name__ == "__main__":
    main()
