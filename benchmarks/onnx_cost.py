"""What quantizing costs: seconds, memory, and the price of one more trial.

ResNet-50 with random weights at 224 x 224, 100 calibration samples, against the raw float forward of
the same samples; resnet8 too where the assets are found. Each model is measured in a process of its own.

    python benchmarks/onnx_cost.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SAMPLES = 100
BATCH = 20
TRIALS = 5


def main() -> None:
    from models import resnet50
    from timing import print_table

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.onnx"
        path.write_bytes(resnet50().SerializeToString())
        rows.append(measured("ResNet-50", path, (3, 224, 224)))
    small = assets() / "models" / "resnet8_cifar10.onnx"
    if small.is_file():
        rows.append(measured("resnet8", small, (3, 32, 32)))
    else:
        print(f"resnet8 skipped: {small} is not there (set INC_ASSETS)")
    header = ("model", "raw forward s", "quantize s", "ratio", "trial s", "peak MB")
    print_table(f"{SAMPLES} samples, one thread, CPU seconds", header, rows)


def assets() -> Path:
    default = Path(__file__).resolve().parents[2] / "shared" / "assets"
    return Path(os.environ.get("INC_ASSETS", default))


def measured(name: str, path: Path, shape: tuple[int, ...]) -> tuple[str, ...]:
    command = [sys.executable, __file__, str(path), *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    ratio = found["quantize"] / found["raw"]
    words = (f"{found[key]:.2f}" for key in ("raw", "quantize"))
    return (name, *words, f"{ratio:.2f}", f"{found['trial']:.3f}", f"{found['peak_mb']:.0f}")


def measure(path: Path, shape: tuple[int, ...]) -> dict[str, float]:
    from inc_core.hookspecs.adaptor import AdaptorContext
    from inc_core.quant.calibrator import Calibrator
    from inc_core.quant.space import TuningSpace
    from inc_onnx.adaptor import OnnxAdaptor

    adaptor = OnnxAdaptor(AdaptorContext("onnxruntime", threads=1))
    rng = np.random.default_rng(0)
    batches = [
        rng.standard_normal((BATCH, *shape), dtype=np.float32) for _ in range(SAMPLES // BATCH)
    ]
    model = adaptor.load(path)
    adaptor.predict(model, batches[0][:1])
    start = time.process_time()
    for batch in batches:
        for sample in range(BATCH):
            adaptor.predict(model, batch[sample : sample + 1])
    raw = time.process_time() - start

    start = time.process_time()
    space = TuningSpace(tuple(adaptor.capabilities(model)))
    keys = tuple(dict.fromkeys(key for c in space.capabilities for key in c.activations))
    calibration = Calibrator(
        lambda inputs, observers: adaptor.observe(model, inputs, observers),
        lambda: iter(batches),
        keys,
        [SAMPLES],
        ["minmax"],
    ).calibration(SAMPLES)
    quantized = adaptor.quantize(model, space.default(), calibration)
    _ = quantized.session
    quantize = time.process_time() - start

    seconds = []
    for number in range(TRIALS):
        op = space.ops[number % len(space.ops)]
        recipe = space.default().with_op(op, space.fallback(op))
        start = time.process_time()
        _ = adaptor.quantize(model, recipe, calibration).session
        seconds.append(time.process_time() - start)
    trial = float(np.median(seconds))
    return {"raw": raw, "quantize": quantize, "trial": trial, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Return the peak of this process alone; ``ru_maxrss`` would begin with the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1000


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[1]), tuple(map(int, sys.argv[2:])))))
    else:
        main()
