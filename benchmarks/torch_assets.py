"""Tuning trained PyTorch models to within 1 % of their accuracy: ``python benchmarks/torch_assets.py``.

Every model goes through ``Quantization`` with the full test set, at the default search; the models are
built from the definitions that lie with the assets. Plain int8 breaks four of them, see
``onnx_assets.py``. Speed is that of the tuned module against the user's own, called in eager mode, and
against the float module as the adaptor prepares it, at 32 samples.

Options: ``--models NAME ...``, ``--approach static|auto|dynamic``, ``--samples N`` of the test set.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from types import ModuleType
from typing import Any

import assets
import numpy as np
import timing

try:
    import onnxruntime
    import torch

    import inc_torch  # noqa: F401 - only asked whether it is there
    from inc_core import Quantization, common
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install torch, inc-core, inc-torch and onnxruntime: make test-torch does it"
    )

APPROACHES = {
    "static": "post_training_static_quant",
    "auto": "post_training_auto_quant",
    "dynamic": "post_training_dynamic_quant",
}
CALIBRATION_SAMPLES = 256
SPEED_BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = (*assets.CNNS, assets.TEXT)
    parser.add_argument("--models", nargs="+", default=list(names), choices=names)
    parser.add_argument("--approach", default="static", choices=list(APPROACHES))
    parser.add_argument("--samples", type=int, help="of the test set; all by default")
    arguments = parser.parse_args()
    assets.folder()
    torch.set_num_threads(1)
    timing.print_heading("torch_assets", "torch", "numpy", "inc-core", "inc-torch")
    rows = []
    for name in arguments.models:
        rows.append(tune(name, arguments.approach, arguments.samples))
        print(f"  {name}: {rows[-1][3]} after {rows[-1][4]} trials", flush=True)
    header = (
        "model",
        "fp32",
        "needed",
        "int8",
        "trials",
        "s",
        "ops int8",
        "x eager",
        "x prepared",
        "in ONNX",
    )
    timing.print_table(f"approach {arguments.approach}, tolerance 1 % relative", header, rows)


def module_of(name: str) -> torch.nn.Module:
    """Build a trained model from the definitions beside the assets."""
    if name == assets.TEXT:
        model = definitions("text_models").TextCls()
    else:
        model = definitions("cifar_models").build(name.split("_")[0])
    suffix = "" if name == assets.TEXT else "_cifar10"
    path = assets.folder() / "models" / f"{name}{suffix}.pt"
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state.get("model", state) if isinstance(state, dict) else state)
    return model.eval()


def definitions(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, assets.folder() / "train" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tune(name: str, approach: str, samples: int | None) -> tuple[str, ...]:
    start = time.perf_counter()
    model = module_of(name)
    with tempfile.TemporaryDirectory() as workspace:
        quantizer = Quantization(configuration(name, approach, workspace))
        quantizer.model = model
        calibration = assets.calibration_set(name, CALIBRATION_SAMPLES)
        quantizer.calib_dataloader = common.DataLoader(calibration, batch_size=64)
        quantizer.eval_dataloader = common.DataLoader(
            assets.test_set(name, samples), batch_size=100
        )
        quantizer.metric = common.Metric(assets.Top1, "top1")
        tuned = quantizer.fit()
    seconds = time.perf_counter() - start
    accuracy, search = tuned.facts["accuracy"], tuned.facts["search"]
    quantized, total = len(tuned.recipe.quantized_ops), len(tuned.recipe.ops)
    return (
        name,
        f"{accuracy['baseline']:.4f}",
        f"{accuracy['threshold']:.4f}",
        f"{accuracy['final']:.4f}{'' if tuned.goal_met else ' MISSED'}",
        str(search["trials"]),
        f"{seconds:.1f}",
        f"{quantized}/{total}",
        *speeds(name, model, tuned),
        f"{exported_accuracy(name, tuned, samples):.4f}",
    )


def exported_accuracy(name: str, tuned: Any, samples: int | None) -> float:
    """Return the accuracy of the exported model in plain ONNX Runtime."""
    test, metric = assets.test_set(name, samples), assets.Top1()
    with tempfile.TemporaryDirectory() as folder:
        path = tuned.export(f"{folder}/{name}.onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    for start in range(0, len(test), 100):
        inputs, labels = test[start : start + 100]
        metric.update(session.run(None, {taken.name: inputs})[0], labels)
    return metric.result()


def configuration(name: str, approach: str, workspace: str) -> dict[str, Any]:
    return {
        "model": {"name": name, "framework": "pytorch"},
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


def speeds(name: str, model: torch.nn.Module, tuned: Any) -> list[str]:
    """Return the speed against the user's module, and against the prepared one."""
    batch = np.stack([assets.test_set(name, SPEED_BATCH)[i][0] for i in range(SPEED_BATCH)])
    inputs = torch.from_numpy(batch)
    adaptor = tuned.adaptor
    prepared = adaptor.trace(adaptor.load(model), batch)
    modules = {"eager": model, "prepared": prepared, "tuned": tuned.model}
    calls = {key: (lambda m=m: m(inputs)) for key, m in modules.items()}
    with torch.inference_mode():
        timings = timing.interleave(calls, "eager", budget_seconds=10)
    slower = timing.faster_by(timings["tuned"], timings["prepared"])
    return [f"{timings['tuned'].ratio:.2f}", f"{slower:.2f}"]


if __name__ == "__main__":
    main()
