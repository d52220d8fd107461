"""Seconds of each layer in each of its configs on this machine, from graphs of one op.

A static layer is timed from integers to integers; what rounding its input takes is timed apart, and is
a cost of the boundary where another static layer could have given integers.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from inc_core.errors import IncError
from inc_core.hookspecs.adaptor import LatencyTable
from inc_core.quant.calibrator import Calibration
from inc_core.quant.observers import TensorStatistics
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey
from inc_torch.forms import fast_form
from inc_torch.naming import nodes_by_name, tensor_key
from inc_torch.op_table import Row
from inc_torch.quantize import WeightCache, quantized_graph
from inc_torch.single_op import single_op
from inc_torch.static import ops
from inc_torch.static.carry import carried
from inc_torch.static.prepare import attribute
from inc_torch.weight_only.algorithms import quantize_weight
from inc_torch.weight_only.grid import QuantizedWeight

__all__ = ["time_layers"]

logger = logging.getLogger("inc_core.torch")

# For a whole table. MobileNetV2 needs a tenth of it at batch 1; what is left out has no entry.
TOTAL_SECONDS = 45.0
# A round is long enough for the clock, and the fastest of some rounds is what the machine can do.
ROUND_SECONDS = 0.002
ROUNDS = 7
# Any: kernels take the same time for every range.
_SCALE, _ZERO_POINT = 0.02, 128

# by operator, the argument that is the scale of its result; ``None`` gives floats
_OUT_SCALES = {ops.conv: 10, ops.linear: 6}

aten = torch.ops.aten
# fused into the layer before them, or cheap beside it
_ACTIVATIONS = frozenset(
    {aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.hardswish.default,
     aten.gelu.default, aten.silu.default, aten.add.Tensor}
)  # fmt: skip


def time_layers(
    graph: fx.GraphModule,
    table: Sequence[Row],
    capabilities: Sequence[OpCapability],
    inputs: Sequence[Tensor],
    known: MutableMapping[str, Sequence[float]],
    clock: Callable[[], float] = time.perf_counter,
) -> LatencyTable:
    """Return the seconds of layers with a weight.

    Args:
        graph: A float graph with names.
        table: The rows of the run.
        capabilities: Of the graph.
        inputs: One batch, for its shapes.
        known: Seconds by signature, from earlier; what is measured now is added.
        clock: Seconds.
    """
    deadline = clock() + TOTAL_SECONDS
    shapes = _Shapes(graph).of(inputs)
    nodes = nodes_by_name(graph)
    offered = {c.op: c for c in capabilities if len(c.configs) > 1 and c.op.type != "Add"}
    # the largest first: they decide, if the time should not suffice for all
    order = sorted(offered, key=lambda op: -_size(nodes[op.name], shapes))
    timed: dict[OpKey, dict[OpConfig, float]] = {}
    rounding: dict[OpKey, float] = {}
    for op in order:
        if clock() > deadline:
            logger.info("the latency table stops after %g s: %d of %d layers are timed",
                        TOTAL_SECONDS, len(timed), len(order))  # fmt: skip
            break
        layer = _Layer(graph, nodes[op.name], shapes[nodes[op.name].args[0]], table)
        rounding[op] = layer.rounding(known, clock)
        timed[op] = layer.seconds(offered[op].configs, known, clock)
    return _assemble(graph, {op: timed[op] for op in offered if op in timed}, rounding)


class _Layer:
    """One layer, alone, with an input of the shape that it has in the model."""

    def __init__(
        self, graph: fx.GraphModule, node: fx.Node, shape: tuple[int, ...], table: Sequence[Row]
    ) -> None:
        self._table = table
        weight = node.args[1].meta["val"]
        self._input = _filled(shape)
        self._floating = self._input.to(weight.dtype)
        self._graph, self._node = single_op(graph, node, self._floating)
        geometry = [str(one) for one in node.args[3:]]
        threads = torch.get_num_threads()
        dtype = str(weight.dtype).removeprefix("torch.")
        stem = [str(node.target), dtype, shape, tuple(weight.shape), geometry, threads]
        self._stem = json.dumps(stem)

    def seconds(
        self,
        configs: Sequence[OpConfig],
        known: MutableMapping[str, Sequence[float]],
        clock: Callable[[], float],
    ) -> dict[OpConfig, float]:
        """Return the seconds of each config, rounding apart."""
        kinds = {config: _kind(config) for config in configs}
        wanted = {kind: config for config, kind in reversed(kinds.items())}
        missing = [kind for kind in wanted if f"{self._stem} {kind}" not in known]
        if missing:
            # float is timed again beside what is new: only what was timed side by side compares
            forms = {kind: self._form(wanted.get(kind, FP32)) for kind in {_kind(FP32), *missing}}
            usable = {kind: form for kind, form in forms.items() if form is not None}
            for kind, found in self._timed(usable, clock).items():
                known[f"{self._stem} {kind}"] = [found]
        found_by_kind = {kind: known.get(f"{self._stem} {kind}") for kind in wanted}
        return {c: float(f[0]) for c, k in kinds.items() if (f := found_by_kind[k]) is not None}

    def rounding(
        self, known: MutableMapping[str, Sequence[float]], clock: Callable[[], float]
    ) -> float:
        """Return the seconds of rounding the input."""
        key = f"rounding {tuple(self._input.shape)} {torch.get_num_threads()}"
        if key not in known:
            graph = fx.Graph()
            x = graph.placeholder("x")
            rounded = graph.call_function(
                ops.quantize, (x, _SCALE, _ZERO_POINT, self._input.dim() == 4)
            )
            graph.output((rounded,))
            form = fast_form(fx.GraphModule(nn.Module(), graph))
            known[key] = [self._timed({"rounding": form}, clock)["rounding"]]
        return float(known[key][0])

    def _form(self, config: OpConfig) -> nn.Module | None:
        if config == FP32:
            return self._graph
        statistics = TensorStatistics(1, -2.0, 2.0)
        keys = [tensor_key(self._node), tensor_key(self._node.args[0])]
        name = tensor_key(self._node).op
        try:
            built = quantized_graph(
                self._graph,
                {name: config},
                Calibration(dict.fromkeys(keys, statistics), 1),
                self._table,
                weights=WeightCache(),
                chosen={name: self._weight(config)} if config.mode == "weight_only" else None,
            )
        except IncError as error:
            logger.info("%s cannot be timed as %s: %s", self._node, config, error)
            return None
        if config.mode == "static":
            _leave_integers(built)
        return fast_form(built)

    def _weight(self, config: OpConfig) -> QuantizedWeight:
        """Round to nearest: the kernel takes the same time however the integers were chosen."""
        assert config.weight is not None
        weight = attribute(self._graph, str(self._node.args[1].target))
        return quantize_weight(weight, replace(config.weight, algorithm="minmax"))

    @torch.inference_mode()
    def _timed(
        self, forms: Mapping[str, nn.Module], clock: Callable[[], float]
    ) -> dict[str, float]:
        """Return the least seconds of one call of each form, in turn."""
        rounded = ops.quantize(self._input, _SCALE, _ZERO_POINT, self._input.dim() == 4)
        inputs = {kind: rounded if kind.startswith("static") else self._floating for kind in forms}
        inputs["rounding"] = self._input
        calls = {}
        for kind, form in forms.items():
            form(inputs[kind])
            start = clock()
            form(inputs[kind])
            calls[kind] = max(1, int(ROUND_SECONDS / max(clock() - start, 1e-7)))
        best = dict.fromkeys(forms, float("inf"))
        for _ in range(ROUNDS):
            for kind, form in forms.items():
                x = inputs[kind]
                start = clock()
                for _ in range(calls[kind]):
                    form(x)
                best[kind] = min(best[kind], (clock() - start) / calls[kind])
        return best


def _leave_integers(graph: fx.GraphModule) -> None:
    """Make a lowered graph of one layer take and give u8, as between static layers."""
    for node in list(graph.graph.nodes):
        if node.target is ops.quantize:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif node.target in _OUT_SCALES:
            position = _OUT_SCALES[node.target]
            node.args = (*node.args[:position], _SCALE, _ZERO_POINT, *node.args[position + 2 :])
    graph.recompile()


class _Shapes(fx.Interpreter):
    """Runs a graph and notes every tensor's shape."""

    def of(self, inputs: Sequence[Tensor]) -> dict[fx.Node, tuple[int, ...]]:
        self.found: dict[fx.Node, tuple[int, ...]] = {}
        with torch.inference_mode():
            self.run(*inputs)
        return self.found

    def run_node(self, node: fx.Node) -> Any:
        value = super().run_node(node)
        if isinstance(value, Tensor):
            self.found[node] = tuple(value.shape)
        return value


def _assemble(
    graph: fx.GraphModule,
    timed: Mapping[OpKey, Mapping[OpConfig, float]],
    rounding: Mapping[OpKey, float],
) -> LatencyTable:
    """Add the rounding of inputs: to boundaries between layers, else to the layer."""
    nodes = nodes_by_name(graph)
    by_node = {nodes[op.name]: op for op in timed}
    seconds: dict[OpKey, dict[OpConfig, float]] = {}
    boundary: dict[tuple[OpKey, OpKey], float] = {}
    for op, row in timed.items():
        producers = _producers(nodes[op.name].args[0], by_node)
        # what no layer could give in integers is rounded in any case
        own = 0.0 if producers else rounding[op]
        seconds[op] = {
            config: value + own if config.mode == "static" else value
            for config, value in row.items()
        }
        for producer in producers:
            # a float layer between static ones rounds once: half at each of its boundaries
            boundary[producer, op] = rounding[op] / 2 / len(producers)
    return LatencyTable(seconds, boundary)


def _producers(tensor: fx.Node, by_node: Mapping[fx.Node, OpKey]) -> tuple[OpKey, ...]:
    """Return the layers that a tensor comes from with nothing but fused ops between."""
    if tensor in by_node:
        return (by_node[tensor],)
    sources = carried(tensor)
    if tensor.target in _ACTIVATIONS:
        sources = tuple(one for one in tensor.args if isinstance(one, fx.Node))
    found = [op for one in sources for op in _producers(one, by_node)]
    return tuple(dict.fromkeys(found))


def _kind(config: OpConfig) -> str:
    """Return what of a config decides the speed: not range, scheme or per-channel scales."""
    weight = "" if config.weight is None else f"{config.weight.dtype}/{config.weight.group_size}"
    return f"{config.mode} {weight}".strip()


def _filled(shape: tuple[int, ...]) -> Tensor:
    generator = np.random.default_rng(0)
    tensor = torch.from_numpy(generator.standard_normal(shape, np.float32))
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _size(node: fx.Node, shapes: Mapping[fx.Node, tuple[int, ...]]) -> int:
    return int(np.prod(shapes.get(node, (0,)))) * int(node.args[1].meta["val"][0].numel())
