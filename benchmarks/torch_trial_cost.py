"""What calibration and one more trial cost for PyTorch models: ``python benchmarks/torch_trial_cost.py``.

Calibration is timed against the raw float forward of the same samples, in turn, by process CPU time: that of
the module as it was given, and in brackets that of the float model as the adaptor prepares it, faster;
``ranges`` is what minmax needs, ``histograms`` what the other range rules need too, ``channels`` what
equalization and bias correction need beside the ranges. A trial is a search's call of ``quantize``: here
of recipes that each leave another op in float. Goals: calibration at most 1.3 times the raw forward
(ranges), a trial under 0.1 s (mobilenetv2 for CIFAR).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import assets
import numpy as np
import timing

try:
    import torch
    from torch_assets import module_of

    from inc_core.hookspecs.adaptor import AdaptorContext
    from inc_core.quant.calibrator import Calibrator
    from inc_core.quant.space import TuningSpace
    from inc_core.quant.spec import FP32
    from inc_torch.adaptor import TorchAdaptor
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install torch, inc-core and inc-torch first: make test-torch does it"
    )

CALIBRATION_SAMPLES = 256
BATCH = 64
CALIBRATION_GOAL = 1.3
TRIAL_GOAL_SECONDS = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("resnet8", "mobilenetv1", "mobilenetv2")
    parser.add_argument("--models", nargs="+", default=list(names), choices=names)
    arguments = parser.parse_args()
    assets.folder()
    torch.set_num_threads(1)
    timing.print_heading("torch_trial_cost", "torch", "numpy", "inc-core", "inc-torch")
    rows = [measure(name) for name in arguments.models]
    header = ("model", "ranges", "histograms", "channels", "trial median s", "worst s")
    timing.print_table("calibration in raw forwards; quantize alone", header, rows)
    print(f"  goals: ranges {CALIBRATION_GOAL}, trial {TRIAL_GOAL_SECONDS} s")


def measure(name: str) -> tuple[str, ...]:
    adaptor = TorchAdaptor(AdaptorContext("pytorch", threads=1))
    dataset = assets.calibration_set(name, CALIBRATION_SAMPLES)
    batches = [dataset.inputs[i : i + BATCH] for i in range(0, CALIBRATION_SAMPLES, BATCH)]
    model = adaptor.trace(adaptor.load(module_of(name)), batches[0])
    space = TuningSpace(tuple(adaptor.capabilities(model)))
    module = module_of(name)
    variants: dict[str, Callable[[], object]] = {
        "module": lambda: [run(module, batch) for batch in batches],
        "raw": lambda: [adaptor.predict(model, batch) for batch in batches],
        "ranges": lambda: calibrate(adaptor, model, space, batches, ("minmax",), False),
        "histograms": lambda: calibrate(adaptor, model, space, batches, ("minmax", "kl"), False),
        "channels": lambda: calibrate(adaptor, model, space, batches, ("minmax",), True),
    }
    times = timing.interleave(variants, "raw", budget_seconds=40)
    costs = [
        f"{timing.faster_by(times['module'], times[key]):.2f} ({1 / times[key].ratio:.2f})"
        for key in ("ranges", "histograms", "channels")
    ]
    calibration = calibrate(adaptor, model, space, batches, ("minmax",), False)
    trials = []
    for op in space.ops:
        start = time.process_time()
        adaptor.quantize(model, space.default().with_op(op, FP32), calibration)
        trials.append(time.process_time() - start)
    return (name, *costs, f"{np.median(trials):.3f}", f"{max(trials):.3f}")


@torch.inference_mode()
def run(module: torch.nn.Module, batch: np.ndarray) -> torch.Tensor:
    return module(torch.from_numpy(batch))


def calibrate(
    adaptor: Any, model: Any, space: Any, batches: Any, rules: tuple[str, ...], channels: bool
) -> Any:
    keys = tuple(dict.fromkeys(k for op in space.ops for k in space.capability(op).activations))
    return Calibrator(
        observe=lambda inputs, observers: adaptor.observe(model, inputs, observers),
        batches=lambda: iter(batches),
        keys=keys,
        sizes=(CALIBRATION_SAMPLES,),
        algorithms=rules,
        channel_keys=keys if channels else (),
    ).calibration(CALIBRATION_SAMPLES)


if __name__ == "__main__":
    main()
