"""Tuning trained models to within 1 % of their accuracy: ``python benchmarks/onnx_assets.py``.

Every model goes through ``Quantization`` with the full test set, at the default search. Plain int8
breaks four of them: mobilenetv1_mild, _spread and _hot have channels of very different ranges, put in
on purpose by rescaling a trained net (the assets' README says how); textcls_agnews adds a mask of -1e4.

Speed is that of the tuned model against the file's as ONNX Runtime runs it, at 32 samples.

Options: ``--models NAME ...``, ``--approach static|auto|dynamic``, ``--samples N`` of the test set.
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
    import onnx
    from contenders import session

    import inc_onnx  # noqa: F401 - only asked whether it is there
    from inc_core import Quantization, common
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install inc-core and inc-onnx first: pip install . ./plugins/inc_onnx"
    )

APPROACHES = {
    "static": "post_training_static_quant",
    "auto": "post_training_auto_quant",
    "dynamic": "post_training_dynamic_quant",
}
CALIBRATION_SAMPLES = 256
SPEED_BATCH = 32
FIRST_TRIAL = ("resnet8", "mobilenetv1", "mobilenetv2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*assets.CNNS, assets.TEXT)
    parser.add_argument("--models", nargs="+", default=list(names), choices=names)
    parser.add_argument("--approach", default="static", choices=list(APPROACHES))
    parser.add_argument("--samples", type=int, help="of the test set; all by default")
    arguments = parser.parse_args()
    assets.folder()
    timing.print_heading("onnx_assets", "onnxruntime", "onnx", "numpy", "inc-core", "inc-onnx")
    rows = []
    for name in arguments.models:
        rows.append(tune(name, arguments.approach, arguments.samples))
        print(f"  {rows[-1][0]}: {rows[-1][3]} after {rows[-1][4]} trials", flush=True)
    header = ("model", "fp32", "needed", "int8", "trials", "evaluated", "s", "ops int8", "speed")
    timing.print_table(f"approach {arguments.approach}, tolerance 1 % relative", header, rows)


def tune(name: str, approach: str, samples: int | None) -> tuple[str, ...]:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as workspace:
        quantizer = Quantization(configuration(name, approach, workspace))
        quantizer.model = str(assets.model_path(name))
        calibration = assets.calibration_set(name, CALIBRATION_SAMPLES)
        quantizer.calib_dataloader = common.DataLoader(calibration, batch_size=64)
        quantizer.eval_dataloader = common.DataLoader(
            assets.test_set(name, samples), batch_size=100
        )
        quantizer.metric = common.Metric(assets.Top1, "top1")
        tuned = quantizer.fit()
    return row(name, tuned, time.perf_counter() - start)


def configuration(name: str, approach: str, workspace: str) -> dict[str, Any]:
    return {
        "model": {"name": name, "framework": "onnxruntime"},
        "quantization": {
            "approach": APPROACHES[approach],
            "calibration": {"sampling_size": CALIBRATION_SAMPLES},
        },
        "tuning": {
            "accuracy_criterion": {"relative": 0.01},
            "exit_policy": {"timeout": 0, "on_goal_not_met": "best_seen"},
            "workspace": {"path": workspace},
            "cache": {"enabled": False},  # what an earlier run knows would be no cost here
        },
    }


def row(name: str, tuned: Any, seconds: float) -> tuple[str, ...]:
    facts = tuned.facts
    accuracy, search = facts["accuracy"], facts["search"]
    quantized, total = len(tuned.recipe.quantized_ops), len(tuned.recipe.ops)
    met = "" if tuned.goal_met else " MISSED"
    if name in FIRST_TRIAL and search["chosen"] != 1:
        met = " not at the first trial"
    speed = measured_speed(name, tuned)
    return (
        name,
        f"{accuracy['baseline']:.4f}",
        f"{accuracy['threshold']:.4f}",
        f"{accuracy['final']:.4f}{met}",
        str(search["trials"]),
        str(search["samples"]),
        f"{seconds:.1f}",
        f"{quantized}/{total}",
        f"{speed.ratio:.2f} [{speed.low:.2f}-{speed.high:.2f}]",
    )


def measured_speed(name: str, tuned: Any) -> timing.Timing:
    """Time the original file and the tuned model side by side, in sessions of one thread."""
    inputs = np.stack([assets.test_set(name, SPEED_BATCH)[i][0] for i in range(SPEED_BATCH)])
    original = onnx.load(str(assets.model_path(name)))
    sessions = {"float": session(original), "tuned": session(tuned.model)}
    feed = {original.graph.input[0].name: inputs}
    calls = {key: (lambda s=s: s.run(None, feed)) for key, s in sessions.items()}
    return timing.interleave(calls, "float", budget_seconds=10)["tuned"]


if __name__ == "__main__":
    main()
