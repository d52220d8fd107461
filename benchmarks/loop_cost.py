"""What a search costs beside what it is about: ``python benchmarks/loop_cost.py``.

Trained resnet8, its full test set, a search that goes on for some trials; then the same once more, which
finds everything in the cache. CPU seconds of the whole process, of which belong to

* evaluating models (the float one included), building them (rewriting, calibrating, quantizing) and
  measuring their objectives, finalists side by side included: what the search is about;
* the loop's own cost: the rest. Strategy, journal, cache, digests of the data and of the float model,
  and the part of the float model's evaluation that is made twice to see noise.

Goal: the loop's own cost is under 5 % of the evaluations.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import assets
import timing

try:
    import inc_onnx  # noqa: F401 - only asked whether it is there
    from inc_core import Quantization, common
    from inc_core.data.content import ContentDigest
    from inc_core.facade import run as facade_run
    from inc_core.tuning import loop, trial_run
    from inc_core.tuning.cache import Cache
    from inc_core.tuning.evaluate import MetricEvaluator
    from inc_core.tuning.integrity import FloatModelGuard
    from inc_core.tuning.job import Builder
    from inc_core.tuning.journal import Journal
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install inc-core and inc-onnx first: pip install . ./plugins/inc_onnx"
    )

GOAL = 0.05
CALIBRATION_SAMPLES = 256

# What is timed: where it is called, by which name, as what.
ABOUT = {
    "evaluating": [(MetricEvaluator, "_run")],
    "building": [(Builder, "build")],
    "measuring": [
        (trial_run, "measure_objectives"),
        (loop, "measure_objectives"),
        (loop, "refined"),  # the finalists side by side
    ],
}
OWN = {
    "noise check": [(loop, "measure_noise")],
    "digests of data": [(ContentDigest, "add")],
    "digests of the float model": [(FloatModelGuard, "check"), (FloatModelGuard, "__init__")],
    "journal": [(Journal, "append")],
    "cache": [(Cache, "get"), (Cache, "put")],
}
WHOLE = ("noise check",)  # its evaluations are a cost of the loop


class Stopwatch:
    """CPU seconds by name; what is called from within counts by itself, but for what ``WHOLE`` calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._whole = False

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            if self._whole:
                return function(*arguments, **keywords)
            start, inner = time.process_time(), sum(self.seconds.values())
            self._whole = name in WHOLE
            try:
                return function(*arguments, **keywords)
            finally:
                self._whole = False
                inside = sum(self.seconds.values()) - inner
                spent = time.process_time() - start - inside
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

        return timed


def search(folder: Path, trials: int, strategy: str) -> tuple[Any, float, dict[str, float]]:
    """Return the result of one search, its CPU seconds, and what they were spent on."""
    quantizer = Quantization(
        {
            "model": {"framework": "onnxruntime"},
            "quantization": {"calibration": {"sampling_size": CALIBRATION_SAMPLES}},
            "tuning": {
                "strategy": {"name": strategy},
                "accuracy_criterion": {"absolute": 1e-9},  # hardly anything is as good as float
                "exit_policy": {
                    "max_trials": trials,
                    "on_goal_not_met": "best_seen",
                    "timeout": 3600,
                },
                "speed_gate": False,
                "early_stop": False,
                "workspace": {"path": str(folder / "workspace")},
                "cache": {"directory": str(folder / "cache")},
            },
        }
    )
    data = assets.test_set("resnet8")
    quantizer.model = str(assets.model_path("resnet8"))
    quantizer.calib_dataloader = common.DataLoader(
        assets.calibration_set("resnet8", CALIBRATION_SAMPLES), batch_size=64
    )
    quantizer.eval_dataloader = common.DataLoader(data, batch_size=100)
    quantizer.metric = assets.Top1
    stopwatch = Stopwatch()
    with ExitStack() as stack:
        stack.enter_context(patch.object(facade_run, "compare_speed", lambda *_: None))
        for name, places in {**ABOUT, **OWN}.items():
            for owner, attribute in places:
                timed = stopwatch.around(name, getattr(owner, attribute))
                stack.enter_context(patch.object(owner, attribute, timed))
        start = time.process_time()
        result = quantizer.fit().result
        return result, time.process_time() - start, stopwatch.seconds


def report(title: str, result: Any, total: float, seconds: dict[str, float]) -> float:
    """Print where the time went; return the loop's own cost as a share of the evaluations."""
    own = total - sum(seconds.get(name, 0.0) for name in ABOUT)
    evaluating = seconds.get("evaluating", 0.0)
    rows = [(name, f"{seconds.get(name, 0.0):.3f}") for name in (*ABOUT, *OWN)]
    rest = own - sum(seconds.get(name, 0.0) for name in OWN)
    rows += [("strategy and everything else", f"{rest:.3f}"), ("total", f"{total:.3f}")]
    known = sum(trial.from_cache for trial in result.trials)
    heading = (
        f"{title}: {len(result.trials)} trials, {known} known, {result.samples} samples evaluated"
    )
    timing.print_table(heading, ("", "CPU s"), rows)
    share = own / evaluating if evaluating else float("inf")
    print(
        f"  the loop's own cost: {own:.3f} s"
        + (f", {share:.1%} of the evaluations" if evaluating else "")
    )
    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--strategy", default="basic")
    arguments = parser.parse_args()
    assets.folder()
    timing.print_heading("loop_cost", "onnxruntime", "numpy", "inc-core", "inc-onnx")
    with tempfile.TemporaryDirectory() as name:
        for title in ("cold cache", "warm cache"):
            found = search(Path(name), arguments.trials, arguments.strategy)
            share = report(title, *found)
            if title == "cold cache":
                print(f"  goal {GOAL:.0%}: {'met' if share < GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
