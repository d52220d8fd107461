"""inc's own kernels against torch's and ONNX Runtime's: ``python benchmarks/kernels.py``.

All contenders of a shape are timed interleaved in one process with one thread; ratios are medians over rounds
of the rival's time divided by ours. Every layer has a weight of its own, and there are enough of them that
weights come from memory. ``--quick`` takes fewer rounds; ``--only decode static dynamic elementwise`` chooses
tables.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Callable

import numpy as np

try:
    import kernel_contenders as contenders
    import torch

    from inc_torch import kernels
    from inc_torch.kernels import Activation
except ImportError as error:
    sys.exit(
        f"skipped: {error}. Install inc-core, inc-onnx and inc-torch with their native kernels."
    )
import timing

INT4 = "inc int4, int8 activations"
# how many times as fast as each rival decoding must be, by rows
DECODE_GOALS = {
    ("ORT MatMulNBits, level 4", 1): 1.3,
    ("torch _weight_int4pack_mm", 1): 1.6,
    ("ORT MatMulNBits, level 4", 16): 1.9,
    ("torch _weight_int4pack_mm", 16): 4.0,
}
STATIC_BYTES = 60 << 20  # of weights: of several layers, as in a model, and beyond the second cache
DECODE_LAYERS = 36  # of 8 MB: 300 MB, beyond the last cache
# 4 bits a weight; a float16 scale and a zero point of one byte for each group of 128, as inc stores them
DECODE_BYTES = 4096 * 4096 * (1 / 2 + 3 / 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {"decode": decode, "static": static, "dynamic": dynamic, "elementwise": elementwise}
    parser.add_argument("--only", nargs="+", default=list(tables), choices=tables)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    timing.print_heading("kernels", "torch", "onnxruntime", "inc-torch", "inc-onnx")
    print(f"  kernels   {kernels.kernel_status()}")
    for name in arguments.only:
        tables[name](5 if arguments.quick else 11)


def decode(rounds: int) -> None:
    """4096 x 4096, groups of 128, zero points."""
    limit = read_bandwidth()
    print(f"  memory    {limit:.1f} GB/s read by one thread (memcmp of two halves of 1 GB)")
    rows = []
    for m in (1, 16):
        variants = contenders.decode(4096, 4096, 128, m, DECODE_LAYERS)
        timings = timing.interleave(variants, INT4, rounds=rounds, block_seconds=0.05)
        own = timings[INT4]
        for name, timed in timings.items():
            seconds = timed.milliseconds / 1e3 / DECODE_LAYERS
            gigabytes = DECODE_BYTES / seconds / 1e9
            ratio = timing.faster_by(own, timed)
            goal = DECODE_GOALS.get((name, m), "")
            rows.append((m, name, f"{seconds * 1e6:.0f}", f"{gigabytes:.1f}", f"{ratio:.2f}", goal))
    header = ("rows", "kernel", "us", "GB/s of weights", "time / ours", "goal")
    timing.print_table("decode: 4-bit weights, 4096 x 4096, groups of 128, asym", header, rows)


def static(rounds: int) -> None:
    """int8 weights, activations quantized before: beside oneDNN's, on which torch's own int8 models run."""
    rows = []
    for k, n, activation in (
        (768, 768, Activation.NONE),
        (768, 2304, Activation.NONE),
        (768, 3072, Activation.GELU),
        (3072, 768, Activation.NONE),
        (4096, 4096, Activation.NONE),
    ):
        layers = STATIC_BYTES // (k * n)
        for m in (1, 16, 64, 128, 256, 1024):
            used = max(2, layers // 4) if m > 128 else layers
            variants = contenders.static(k, n, activation, m, used)
            timings = timing.interleave(variants, "inc static", rounds=rounds, block_seconds=0.05)
            own, rival = timings["inc static"], timings["onednn.qlinear"]
            us = [f"{one.milliseconds * 1e3 / used:.0f}" for one in (own, rival)]
            shape = f"{k} x {n} {activation.name.lower()}"
            rows.append((shape, m, *us, f"{timing.faster_by(own, rival):.2f}"))
    header = ("shape", "rows", "inc us", "oneDNN us", "oneDNN / ours")
    timing.print_table("static int8", header, rows)


def dynamic(rounds: int) -> None:
    """int8 weights, activations quantized as they come."""
    rows = []
    for k, n, activation, layers in (
        (4096, 4096, Activation.NONE, 8),
        (768, 3072, Activation.GELU, 12),
        (768, 768, Activation.NONE, 24),
    ):
        for m in (1, 16, 128):
            used = max(2, layers // 4) if m == 128 else layers
            variants = contenders.dynamic(k, n, activation, m, used)
            timings = timing.interleave(variants, "inc dynamic", rounds=rounds, block_seconds=0.05)
            own = timings["inc dynamic"]
            for name, timed in timings.items():
                # float weights take four times the memory: there are fewer of them
                repeat = used / contenders.few(used) if name in contenders.FLOAT_RIVALS else 1
                ratio = timing.faster_by(own, timed) * repeat
                us = timed.milliseconds * 1e3 / used * repeat
                rows.append(
                    (f"{k} x {n} {activation.name.lower()}", m, name, f"{us:.0f}", f"{ratio:.2f}")
                )
    header = ("shape", "rows", "kernel", "us", "time / ours")
    timing.print_table("dynamic int8", header, rows)


def elementwise(rounds: int) -> None:
    """Quantize, with LayerNorm before it, and dequantize, beside torch's own."""
    rows = []
    for shape in ((128, 768), (128, 3072), (1, 64, 56, 56)):
        x = torch.randn(*shape)
        width = shape[-1:]
        norm = torch.nn.LayerNorm(width).eval().requires_grad_(False)

        quantized = torch.quantize_per_tensor(x, 0.02, 128, torch.quint8)
        integers = quantized.int_repr()

        def torch_quantize(x: torch.Tensor = x) -> torch.Tensor:
            return torch.quantize_per_tensor(x, 0.02, 128, torch.quint8).int_repr()

        pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "quantize": (lambda x=x: kernels.quantize(x, 0.02, 128), torch_quantize),
            "dequantize": (
                lambda q=integers: kernels.dequantize(q, 0.02, 128),
                lambda q=quantized: q.dequantize(),
            ),
            "layer_norm_quantize": (
                lambda x=x, norm=norm: kernels.layer_norm_quantize(
                    x, norm.weight, norm.bias, norm.eps, 0.02, 128
                ),
                lambda x=x, norm=norm, quantize=torch_quantize: quantize(norm(x)),
            ),
        }
        for name, (own, rival) in pairs.items():
            timings = timing.interleave({"inc": own, "torch": rival}, "inc", rounds=rounds)
            ratio = timing.faster_by(timings["inc"], timings["torch"])
            us = [f"{timings[who].milliseconds * 1e3:.1f}" for who in ("inc", "torch")]
            rows.append(("x".join(map(str, shape)), name, *us, f"{ratio:.1f}"))
    header = ("shape", "kernel", "inc us", "torch us", "torch / ours")
    timing.print_table("elementwise", header, rows)


def read_bandwidth() -> float:
    """GB/s at which one thread reads memory: the best of comparing two halves of 1 GB, several times.

    Two streams are read faster than one: ``memchr`` over the same memory takes a sixth longer.
    """
    size = 1 << 30
    memory = np.empty(size, np.uint8)
    memory.fill(2)  # written, or every page would be the one page of zeros
    memcmp = ctypes.CDLL(None).memcmp
    memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    first = memory.ctypes.data
    seconds = []
    for _ in range(7):
        start = time.process_time()
        assert memcmp(first, first + size // 2, size // 2) == 0
        seconds.append(time.process_time() - start)
    return size / min(seconds) / 1e9


if __name__ == "__main__":
    main()
