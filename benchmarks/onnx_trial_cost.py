"""What one more trial costs beyond its evaluation: ``python benchmarks/onnx_trial_cost.py``.

A search whose goal is never met, so that it goes on: trained resnet8 (where the assets are found) and
ResNet-50 with random weights. The times come from the trials as the tuning loop records them, by the
clock on the wall. Two trials do more, and are listed apart: the first calibrates, and the first one with
a rewritten float model (cross-layer equalization) makes that model.

Goal: the others cost under 0.3 s (resnet8) and under 3 s (ResNet-50), each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from typing import Any

import assets
import numpy as np
import timing

try:
    import models

    from inc_core import Quantization, common
    from inc_core.tuning.trial import Trial
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install inc-core and inc-onnx first: pip install . ./plugins/inc_onnx"
    )

GOALS = {"resnet8": 0.3, "resnet50": 3.0}
CALIBRATION_SAMPLES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--trials", type=int, default=10)
    arguments = parser.parse_args()
    packages = ("onnxruntime", "onnx", "numpy", "inc-core", "inc-onnx")
    timing.print_heading("onnx_trial_cost", *packages, clock="wall time")
    for name in arguments.models:
        if name == "resnet8":
            source: Any = str(assets.model_path(name))
            images: Any = assets.calibration_set(name, CALIBRATION_SAMPLES)
        else:
            source, images = models.resnet50(), random_images(CALIBRATION_SAMPLES)
        report(name, *search(source, images, arguments.trials))


def search(source: Any, images: Any, trials: int) -> tuple[tuple[Trial, ...], list[float]]:
    """Return the trials, and the seconds of each one's forward."""
    evaluation = NeverGoodEnough(images[0][0][None])
    with tempfile.TemporaryDirectory() as workspace:
        quantizer = Quantization(
            {
                "model": {"framework": "onnxruntime"},
                "quantization": {"calibration": {"sampling_size": CALIBRATION_SAMPLES}},
                "tuning": {
                    "exit_policy": {"max_trials": trials, "on_goal_not_met": "best_seen"},
                    "workspace": {"path": workspace},
                    "cache": {"enabled": False},  # what an earlier run knows would be no cost here
                },
            }
        )
        quantizer.model = source
        quantizer.calib_dataloader = common.DataLoader(images, batch_size=10)
        quantizer.eval_func = evaluation
        result = quantizer.fit().result
    assert result is not None  # a fitted model has one
    return result.trials, evaluation.seconds[1:]


class NeverGoodEnough:
    """An evaluation that runs a model once, and rates only the first one, the float model, well.

    Attributes:
        seconds: Of each forward, without the creation of the session.
    """

    def __init__(self, inputs: np.ndarray) -> None:
        self.inputs = inputs
        self.seconds: list[float] = []

    def __call__(self, model: Any) -> float:
        session = model.session
        feed = {session.get_inputs()[0].name: self.inputs}
        start = time.perf_counter()
        session.run(None, feed)
        self.seconds.append(time.perf_counter() - start)
        return 1.0 if len(self.seconds) == 1 else 0.0


def random_images(count: int) -> assets.Dataset:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((count, 3, 224, 224), np.float32)
    return assets.Dataset(images, np.zeros(count, np.int64))


def report(name: str, trials: tuple[Trial, ...], forwards: list[float]) -> None:
    rows, ordinary, seen = [], [], set()
    for trial, forward in zip(trials, forwards, strict=True):
        cost, rewritten = trial.seconds - forward, trial.recipe.options
        first = f"first with {', '.join(rewritten)}" if rewritten else "calibrates"
        kind = "" if rewritten in seen else first
        seen.add(rewritten)
        if not kind:
            ordinary.append(cost)
        precisions = dict(trial.recipe.precisions())
        rows.append((trial.number, trial.status, f"{cost:.3f}", precisions, kind))
    header = ("trial", "status", "s beyond evaluation", "ops by precision", "")
    timing.print_table(f"{name}, {CALIBRATION_SAMPLES} calibration samples", header, rows)
    worst, median = max(ordinary), float(np.median(ordinary))
    verdict = "met" if worst < GOALS[name] else "MISSED"
    print(f"  median {median:.3f} s, worst {worst:.3f} s; goal {GOALS[name]} s each: {verdict}")


if __name__ == "__main__":
    main()
