"""Times the final models of one task interleaved in this process: ``speed.py MODEL DATA OUT SECONDS``.

Every one runs in the same ONNX Runtime with one thread, and is evaluated here once more: what a
contender reports of its own model is not taken on trust. How long that evaluation takes is the least
that anyone can need who evaluates that model once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timing
from tasks import Task, cpu_seconds, load, run, session


def main() -> None:
    model, data, out, seconds = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    task = load(model, Path(data))
    found = {file.parent.name: file for file in sorted(Path(out).glob(f"{model}/*/model.onnx"))}
    sessions = {"float": session(task.path), **{name: session(p) for name, p in found.items()}}
    batch = task.inputs[: task.batch]
    calls = {name: _call(ready, batch) for name, ready in sessions.items()}
    timings = timing.interleave(calls, "float", budget_seconds=float(seconds))
    table = {
        name: {
            **_evaluated(task, sessions[name]),
            "speedup": timings[name].ratio,
            "low": timings[name].low,
            "high": timings[name].high,
            "milliseconds": timings[name].milliseconds,
        }
        for name in sessions
    }
    (Path(out) / model / "speed.json").write_text(json.dumps(table, indent=1))


def _call(ready: Any, batch: Any) -> Any:
    feed = {ready.get_inputs()[0].name: batch}
    return lambda: ready.run(None, feed)


def _evaluated(task: Task, ready: Any) -> dict[str, float]:
    """Return the score, and the CPU seconds that finding it took."""
    start = cpu_seconds()
    scores = [task.scores(outputs, at) for at, outputs in run(ready, task.inputs, task.batch)]
    return {
        "score": float(np.concatenate(scores).mean()),
        "evaluation": cpu_seconds() - start,
    }


if __name__ == "__main__":
    main()
