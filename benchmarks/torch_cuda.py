"""inc's operators on an NVIDIA GPU against torch's best: ``python benchmarks/torch_cuda.py``.

Layers of a language model of 8 billion parameters and of BERT-base, bfloat16 activations. A time is that of a
CUDA graph over calls with weights of their own, more than the cache holds, divided by the calls; contenders
take turns in every round, and a ratio is the median over rounds of the rival's time divided by ours. Ours is
the whole operator: activations are quantized inside. Of torch's integer and float8 products only the product
is timed, on activations that are quantized already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial

try:
    import torch
    import triton  # noqa: F401 - without it the operators run their reference

    import inc_torch.kernels  # noqa: F401 - defines the operators
    from inc_torch.cuda import layout
except ImportError as error:
    sys.exit(f"skipped: {error}. Install inc-core and inc-torch[cuda] first.")
import numpy as np
import timing

if not torch.cuda.is_available():
    sys.exit("skipped: torch finds no GPU.")

LAYERS = {
    "4096 to 4096": (4096, 4096),
    "4096 to 14336": (14336, 4096),
    "14336 to 4096": (4096, 14336),
    "768 to 3072": (3072, 768),
}
ROWS = (1, 16, 64, 512, 4096)
GROUP = 128
BEYOND_CACHE = 300e6  # bytes of weights that one graph reads
ROUNDS = 15
FLOAT = "torch bfloat16"
ops = torch.ops.inc


def main() -> None:
    timing.print_heading("torch_cuda", "torch", "triton", "inc-torch", clock=clock())
    torch.manual_seed(0)
    print(f"  memory    {copy_bandwidth():.2f} TB/s, read and written, by copying 1 GB")
    rows = [row for name in LAYERS for m in ROWS for row in measured(name, m)]
    header = ("layer", "rows", "operator", "us", f"x {FLOAT}", "rival", "x rival")
    timing.print_table("operators", header, rows)


def clock() -> str:
    return f"{torch.cuda.get_device_name()}, CUDA graphs"


def copy_bandwidth() -> float:
    source = torch.empty(10**9, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    call = Graph([lambda: target.copy_(source)] * 4)
    return 2e9 / np.median([call.seconds() for _ in range(5)]) / 1e12


class Graph:
    """A CUDA graph over calls, which own what they read."""

    def __init__(self, calls: list[Callable[[], object]]) -> None:
        self._calls = calls
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            calls[0]()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            for call in calls:
                call()
        self.seconds()

    def seconds(self) -> float:
        """Return the time of one call."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        self._graph.replay()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1000 / len(self._calls)


def measured(name: str, m: int) -> list[tuple[object, ...]]:
    """Return a row of the table for each operator of ours."""
    n, k = LAYERS[name]
    made = contenders(m, n, k)
    times: dict[str, list[float]] = {contender: [] for contender in made}
    for number in range(ROUNDS):
        for contender in list(made)[:: 1 if number % 2 == 0 else -1]:
            times[contender].append(made[contender].seconds())
    rivals = {
        "inc int8": "torch _int_mm, product alone",
        "inc float8": "torch _scaled_mm, product alone",
        "inc int4": "torch _weight_int4pack_mm",
    }
    return [
        (
            name,
            m,
            ours,
            f"{np.median(times[ours]) * 1e6:.1f}",
            ratio(times, ours, FLOAT),
            rival,
            ratio(times, ours, rival),
        )
        for ours, rival in rivals.items()
    ]


def ratio(times: Mapping[str, list[float]], ours: str, rival: str) -> str:
    if rival not in times:
        return "-"
    return f"{np.median(np.array(times[rival]) / np.array(times[ours])):.2f}"


def contenders(m: int, n: int, k: int) -> dict[str, Graph]:
    """Return what multiplies ``(m, k)`` activations by ``(n, k)`` weights, by name."""
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
    q8 = torch.randint(-128, 128, (m, k), device="cuda", dtype=torch.int8)
    f8, row_scales = x.to(torch.float8_e4m3fn), torch.rand(m, 1, device="cuda")
    bias, scales = torch.randn(n, device="cuda"), torch.rand(n, device="cuda")
    half_bias, sums = bias.bfloat16(), torch.zeros(n, device="cuda", dtype=torch.int32)
    by_group = torch.rand(k // GROUP, n, 2, device="cuda", dtype=torch.bfloat16)
    grid = layout.int4_grid(by_group[..., 0].half().contiguous(), None)

    def bfloat16(w):
        return torch.nn.functional.linear(x, w, half_bias)

    def scaled_mm(w):
        factors = {"scale_a": row_scales, "scale_b": scales[None]}
        return torch._scaled_mm(f8, w.t(), **factors, bias=half_bias, out_dtype=torch.bfloat16)

    makers = {
        FLOAT: (16, bfloat16),
        "inc int8": (8, lambda w: ops.dynamic_linear(x, w, sums, scales, bias, n, 0)),
        "inc float8": (-8, lambda w: ops.float8_linear(x, w, scales, bias)),
        "inc int4": (4, lambda w: ops.int4_linear(x, w, grid, None, bias, k, n, GROUP, 2)),
        "torch _scaled_mm, product alone": (-8, scaled_mm),
    }
    if m > 16:  # it takes no fewer
        makers["torch _int_mm, product alone"] = (8, lambda w: torch._int_mm(q8, w.t()))
    made = {what: Graph(calls_of(call, bits, n, k)) for what, (bits, call) in makers.items()}
    if m <= 64:  # far slower beyond
        calls = calls_of(
            lambda w: torch._weight_int4pack_mm(x, w, GROUP, by_group), 4, n, k, pack=True
        )
        made["torch _weight_int4pack_mm"] = Graph(calls)
    return made


def calls_of(call, bits: int, n: int, k: int, pack: bool = False) -> list[Callable[[], object]]:
    """Return calls with weights of their own: of 16 bits, 8 bits, float8 (-8) or 4 bits."""
    count = max(2, int(BEYOND_CACHE / (n * k * abs(bits) / 8)))
    weights = [weight(bits, n, k, pack) for _ in range(min(count, 40))]
    return [partial(call, one) for one in weights]


def weight(bits: int, n: int, k: int, pack: bool) -> torch.Tensor:
    if bits == 8:
        return torch.randint(-128, 128, (n, k), device="cuda", dtype=torch.int8)
    if bits == 4:
        codes = torch.randint(0, 256, (n, k // 2), device="cuda", dtype=torch.uint8)
        return torch._convert_weight_to_int4pack(codes, 8) if pack else codes
    values = torch.randn(n, k, device="cuda", dtype=torch.bfloat16)
    return values if bits == 16 else values.to(torch.float8_e4m3fn)


if __name__ == "__main__":
    main()
