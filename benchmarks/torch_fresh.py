"""What a process pays that has imported nothing but torch: ``python benchmarks/torch_fresh.py``.

Each model is quantized in a process of its own: CPU seconds from importing inc to the second call of the int8
model, two batches of calibration included. Models are those of ``torch_speed.py``.

Options: ``--models resnet50 mobilenetv2 bert``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

MODELS = ("resnet50", "mobilenetv2", "bert")
COMPILERS = ("torch._dynamo", "sympy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument(
        "--here", action="store_true", help="in this process, the first model alone"
    )
    arguments = parser.parse_args()
    if arguments.here:
        measure(arguments.models[0])
        return
    for name in arguments.models:
        subprocess.run([sys.executable, __file__, "--here", "--models", name], check=True)


def measure(name: str) -> None:
    import torch
    import torch_models

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    if name == "bert":
        model, inputs = torch_models.bert(6), torch.randint(0, 30522, (1, 128))
    else:
        model, inputs = getattr(torch_models, name)(), torch.randn(1, 3, 224, 224)
    start = time.process_time()
    ready = quantized(model, [inputs, inputs], lambda run, *arguments: run(*arguments))
    for _ in range(2):
        ready(inputs)
    seconds = time.process_time() - start
    imported = ", ".join(one for one in COMPILERS if one in sys.modules) or "none"
    print(f"{name}: {seconds:.2f} s; compilers of torch that were imported: {imported}")


def quantized(model: Any, calibration: Sequence[Any], calibrate: Callable[..., None]) -> Any:
    """Quantize every op with its best config through ``TorchAdaptor``, ranges only.

    Args:
        model: A ``torch.nn.Module``.
        calibration: Batches, tensors.
        calibrate: Calls a function with its arguments: what runs the model on one batch.
    """
    from inc_core.hookspecs.adaptor import AdaptorContext
    from inc_core.quant.calibrator import Calibrator
    from inc_core.quant.recipe import Recipe
    from inc_torch.adaptor import TorchAdaptor

    batches = [batch.numpy() for batch in calibration]
    adaptor = TorchAdaptor(AdaptorContext("pytorch", "static", threads=1))
    loaded = adaptor.trace(adaptor.load(model), batches[0])
    capabilities = adaptor.capabilities(loaded)
    samples = sum(len(batch) for batch in batches)
    recipe = Recipe({c.op: c.configs[0] for c in capabilities}, calib_samples=samples)
    keys = tuple(dict.fromkeys(key for c in capabilities for key in c.activations))
    calibrator = Calibrator(
        lambda inputs, observers: calibrate(adaptor.observe, loaded, inputs, observers),
        lambda: iter(batches),
        keys,
        [samples],
        ("minmax",),
        (),
    )
    return adaptor.quantize(loaded, recipe, calibrator.calibration(samples))


if __name__ == "__main__":
    main()
