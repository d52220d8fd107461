"""Speed of our int8 models against torch's own quantizers: ``python benchmarks/torch_speed.py``.

All variants of a model are timed interleaved in one process with one thread. The float paths are torch's
best ones: eager, channels-last, and compiled with frozen weights, in float32 and bfloat16. The rivals are FX
graph mode with the ``x86`` configuration, traced and frozen, and PT2E with inductor (torchao). Preparation is
CPU time from the float module to the second call, with calibration and compilers, without imports. Part of it
is running the model, which all need alike and which grows with the batch: the passes of the calibration in
float, and two calls of the result. The rest is what preparing costs by itself.

Models have random, distinct weights (``torch_models.py``), so this says nothing of accuracy; the last column
only shows that outputs are alike (99.9: equal).

Options: ``--models resnet50 resnet50_32 mobilenetv2 bert``, ``--variants``, ``--quick`` (fewer rounds, no
compiled variants, BERT with 4 layers), ``--layers 12``.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# compilers start processes of their own, whose time would not be seen; each run compiles anew
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

try:
    import torch
    import torch._inductor.config as inductor
    import torch_models
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install torch first: pip install torch==2.13.0 ./plugins/inc_torch"
    )
import numpy as np
import timing
from torch_fresh import quantized

import inc_torch.adaptor  # noqa: F401  # imports are no part of what is measured
from inc_torch.static.inductor import compiled

logging.disable(logging.WARNING)  # of torchao's other backends
try:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
except ImportError:
    x86 = None

FLOAT = "torch float32"
BEST = "torch float32, compiled"
CHANNELS_LAST = "torch float32, channels-last"
BFLOAT16 = "torch bfloat16, compiled"
FX = "FX x86, jit.trace"
PT2E = "PT2E, inductor"
INC = "inc"
INC_COMPILED = "inc, inductor"
COMPILED = (BEST, BFLOAT16, PT2E, INC_COMPILED)
VARIANTS = (CHANNELS_LAST, FX, INC, *COMPILED)
# by model: the rival that the goal names, and how many times as fast we must be
GOALS = {
    "resnet50": (FX, 1.0),
    "resnet50_32": (PT2E, 1.0),
    "mobilenetv2": (FX, 1.0),
    "bert": (PT2E, 1.0),
}


@dataclass
class Race:
    """Variants of one model on one input, and what each cost to prepare."""

    model: torch.nn.Module
    inputs: torch.Tensor
    calibration: Sequence[torch.Tensor]
    wanted: Collection[str]
    calls: dict[str, Callable[[], Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    own_seconds: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    passes: float = 0.0  # seconds of the calibration that runs

    def add(self, name: str, prepare: Callable[[], Callable[[torch.Tensor], Any]]) -> None:
        """Prepare a variant and call it twice; what fails is said and left out."""
        if name != FLOAT and name not in self.wanted:
            return
        torch._dynamo.reset()
        self.passes, start = 0.0, cpu_seconds()
        try:
            ready = prepare()
            inputs = self.inputs
            output = ready(inputs)
            called = cpu_seconds()
            ready(inputs)
        except Exception as error:  # noqa: BLE001  # a rival that cannot run is a result, too
            print(f"  {name}: failed, {type(error).__name__}: {str(error).splitlines()[0][:120]}")
            return
        end = cpu_seconds()
        self.seconds[name] = end - start
        self.own_seconds[name] = end - start - self.passes - 2 * (end - called)
        self.calls[name] = lambda: ready(inputs)
        self.outputs[name] = output.float().numpy()

    def calibrate(self, run: Callable[..., Any], *arguments: Any) -> None:
        """Call what runs the model on batches of the calibration, and note how long it takes."""
        start = cpu_seconds()
        run(*arguments)
        self.passes += cpu_seconds() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(GOALS), choices=GOALS)
    parser.add_argument("--layers", type=int, default=6, help="of BERT")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no compiled variants")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    inductor.freezing = True
    timing.print_heading("torch_speed", "torch", "torchao", "numpy", "inc-torch")
    for name in arguments.models:
        layers = 4 if arguments.quick else arguments.layers
        wanted = set(arguments.variants) - set(COMPILED if arguments.quick else ())
        measure(name, make_race(name, layers, wanted), 5 if arguments.quick else 11)


def make_race(name: str, layers: int, wanted: Collection[str]) -> Race:
    torch.manual_seed(0)
    if name == "bert":

        def make() -> torch.Tensor:
            return torch.randint(0, 30522, (1, 128))

        model = torch_models.bert(layers)
    else:
        batch = 32 if name.endswith("_32") else 1

        def make() -> torch.Tensor:
            return torch.randn(batch, 3, 224, 224)

        model = getattr(torch_models, name.removesuffix("_32"))()
    return Race(model, make(), [make() for _ in range(2)], wanted)


def measure(name: str, race: Race, rounds: int) -> None:
    model = race.model
    is_image = race.inputs.dim() == 4
    race.add(FLOAT, lambda: model)
    if is_image:
        race.add(CHANNELS_LAST, lambda: channels_last(model))
    race.add(BEST, lambda: torch.compile(channels_last(model) if is_image else model))
    race.add(BFLOAT16, lambda: compiled_bfloat16(model, is_image))
    race.add(FX, lambda: fx_traced(race))
    race.add(PT2E, lambda: pt2e(race))
    race.add(INC, lambda: inc(race))
    race.add(INC_COMPILED, lambda: compiled(inc(race)))
    report(name, race, rounds)


def channels_last(model: torch.nn.Module) -> torch.nn.Module:
    return copy.deepcopy(model).to(memory_format=torch.channels_last)


def compiled_bfloat16(model: torch.nn.Module, is_image: bool) -> Callable[[torch.Tensor], Any]:
    low = (channels_last(model) if is_image else copy.deepcopy(model)).bfloat16()
    compiled = torch.compile(low)
    return lambda x: compiled(x.bfloat16() if is_image else x)


def fx_traced(race: Race) -> Callable[[torch.Tensor], Any]:
    calibration = race.calibration
    mapping = get_default_qconfig_mapping("x86").set_object_type(torch.nn.Embedding, None)
    prepared = prepare_fx(copy.deepcopy(race.model), mapping, (calibration[0],))
    for batch in calibration:
        race.calibrate(prepared, batch)
    return torch.jit.freeze(torch.jit.trace(convert_fx(prepared), calibration[0]))


def pt2e(race: Race) -> Callable[[torch.Tensor], Any]:
    if x86 is None:
        raise ImportError("torchao is not installed")
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    model, calibration = copy.deepcopy(race.model), race.calibration
    exported = torch.export.export(model, (calibration[0],)).module()
    prepared = prepare_pt2e(exported, quantizer)
    for batch in calibration:
        race.calibrate(prepared, batch)
    return torch.compile(convert_pt2e(prepared))


def inc(race: Race) -> torch.nn.Module:
    return quantized(race.model, race.calibration, race.calibrate)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the compilers that it started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def report(name: str, race: Race, rounds: int) -> None:
    times = timing.interleave(race.calls, FLOAT, rounds=rounds, budget_seconds=120.0)
    best = max((n for n in times if n.startswith("torch float32")), key=lambda n: times[n].ratio)
    rows = [
        (
            variant,
            f"{t.milliseconds:.2f}",
            f"{t.ratio:.2f}",
            f"{t.low:.2f}-{t.high:.2f}",
            f"{timing.faster_by(t, times[best]):.2f}",
            f"{race.seconds[variant]:.2f}",
            f"{race.own_seconds[variant]:.2f}",
            f"{min(snr_db(race.outputs[FLOAT], race.outputs[variant]), 99.9):.1f}",
        )
        for variant, t in times.items()
    ]
    header = (
        "variant",
        "ms",
        "x float",
        "q25-q75",
        "x best float",
        "prepare s",
        "by itself",
        "SNR dB",
    )
    timing.print_table(name, header, rows)
    for rival in (FX, PT2E):
        if rival in times:
            compare(name, times, race, rival)


def compare(name: str, times: Mapping[str, timing.Timing], race: Race, rival: str) -> None:
    ratio = timing.faster_by(times[INC], times[rival])
    share, own = (seconds[INC] / seconds[rival] for seconds in (race.seconds, race.own_seconds))
    line = (
        f"  {INC!r} is {ratio:.2f} times as fast as {rival!r}, prepared in {share:.2f} of its time, "
        f"{own:.2f} without running the model"
    )
    named, goal = GOALS[name]
    if named == rival:
        line += f"; goal {goal:.2f}: {'met' if ratio >= goal else 'MISSED'}"
    print(line)


def snr_db(reference: np.ndarray, output: np.ndarray) -> float:
    error = float(((output - reference) ** 2).mean())
    return 10 * float(np.log10((reference**2).mean() / max(error, 1e-30)))


if __name__ == "__main__":
    main()
