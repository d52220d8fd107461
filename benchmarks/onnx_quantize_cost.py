"""What quantizing ResNet-50 costs: ``python benchmarks/onnx_quantize_cost.py``.

100 samples of 224 x 224. Each row runs in a process of its own with one thread, from a model file to a
model file: the raw float forward of the samples; inc with min-max ranges alone; inc as ``fit()``
calibrates, where one pass collects histograms for every range rule and statistics per channel; and ONNX
Runtime's ``quantize_static``.

Goal: inc costs at most 1.5 times the raw forward plus 3 s, below 1 GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

try:
    import contenders
    import models
    import onnx

    from inc_onnx.adaptor import OnnxAdaptor
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install inc-core and inc-onnx first: pip install . ./plugins/inc_onnx"
    )
import timing
from contenders import Feed

from inc_core.hookspecs.adaptor import AdaptorContext

RULES = ("minmax", "percentile", "kl", "mse")
WORKERS = ("raw forward", "inc minmax", "inc as fit()", "ORT quantize_static")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        measure(arguments.worker, Path(arguments.model), arguments.samples, arguments.batch)
        return
    timing.print_heading("onnx_quantize_cost", "onnxruntime", "onnx", "numpy", "inc-onnx")
    with tempfile.TemporaryDirectory() as temporary:
        path = contenders.save(models.resnet50(), Path(temporary), "resnet50")
        found = {name: run_worker(name, path, arguments) for name in WORKERS}
    report(found, arguments.samples, arguments.batch)


def run_worker(name: str, path: Path, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", name, "--model", str(path)]
    command += ["--samples", str(arguments.samples), "--batch", str(arguments.batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(found: dict[str, dict[str, float]], samples: int, batch: int) -> None:
    raw = found["raw forward"]["cpu"]
    rows = [
        (n, f"{m['cpu']:.2f}", f"{m['wall']:.2f}", f"{m['cpu'] / raw:.2f}", f"{m['peak_mb']:.0f}")
        for n, m in found.items()
    ]
    title = f"ResNet-50, {samples} samples in batches of {batch}, one thread"
    header = ("row", "CPU s", "wall s", "x raw", "peak RSS MB")
    timing.print_table(title, header, rows)
    limit = 1.5 * raw + 3
    for name in ("inc minmax", "inc as fit()"):
        cost, peak = found[name]["cpu"], found[name]["peak_mb"]
        verdict = "met" if cost <= limit and peak < 1000 else "MISSED"
        print(f"  {name}: {cost:.2f} s of {limit:.2f} s allowed, {peak:.0f} MB of 1000: {verdict}")


def measure(name: str, path: Path, samples: int, batch: int) -> None:
    rng = np.random.default_rng(0)
    batches: list[Feed] = [
        {"input": rng.standard_normal((batch, 3, 224, 224), np.float32)}
        for _ in range(samples // batch)
    ]
    start, wall = time.process_time(), time.perf_counter()
    if name == "raw forward":
        contender = contenders.session_contender(name, path)
        start, wall = time.process_time(), time.perf_counter()  # without creating the session
        for feed in batches:
            contender.run(feed)
    elif name == "ORT quantize_static":
        ready = contenders.preprocess(path)
        contenders.ort_static(ready, path.with_name("ort.onnx"), batches, "QDQ")
    else:
        everything = name == "inc as fit()"
        rules = RULES if everything else RULES[:1]
        adaptor = OnnxAdaptor(AdaptorContext("onnxruntime", "static", threads=1))
        quantized = contenders.adaptor_quantize(
            adaptor, adaptor.load(path), batches, rules, channels=everything
        )
        onnx.save(quantized.proto, str(path.with_name("inc.onnx")))
    cpu, seconds = time.process_time() - start, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu, "wall": seconds, "peak_mb": timing.peak_rss_mb()}))


if __name__ == "__main__":
    main()
