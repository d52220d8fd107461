"""Seconds of each op in each of its configs on this machine, from micro-models of real shapes."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from onnx import NodeProto, helper

from inc_core.errors import IncError
from inc_core.hookspecs.adaptor import AdaptorContext, LatencyTable
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey
from inc_onnx.inputs import feed, input_infos
from inc_onnx.kernels.native.library import isa, wanted
from inc_onnx.kernels.table import Kernel
from inc_onnx.micro import conversion, float_micro_model, quantized_micro_model, signature_of
from inc_onnx.model import OnnxModel, new_session, session_options
from inc_onnx.plan import data_inputs
from inc_onnx.shapes import shape_at, sizes_of
from inc_onnx.stopwatch import Seconds, time_models
from inc_onnx.topology import moved_input, output_tensor, source_tensor
from inc_onnx.writer import OutputFormat

__all__ = ["OpClock"]

logger = logging.getLogger("inc_core.onnx")

# For a whole table. ResNet-50 needs about a sixth of it at batch 1; what is left out has no entry.
TOTAL_SECONDS = 60.0
FAR = 1.3  # times as slow as float, side by side: no chance makes that of a kernel that pays
_QUANTIZE, _DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class OpClock:
    """Times the ops of one float model.

    Args:
        model: The float model.
        table: The kernels of the run.
        context: Threads, and the order of inputs.
        output_format: The form that the run writes.
        known: Seconds by signature, from earlier; what is measured now is added.
        clock: Seconds.
    """

    def __init__(
        self,
        model: OnnxModel,
        table: Sequence[Kernel],
        context: AdaptorContext,
        output_format: OutputFormat,
        known: MutableMapping[str, Sequence[float]],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._graph = model.graph
        self._model = model
        self._table = table
        self._context = context
        self._format = output_format
        # whose kernels they are decides how long they take
        self._kernels = f" inc {isa()}" if wanted(context.recipes) else ""
        self._known = known
        self._clock = clock
        self._shapes: Mapping[str, tuple[int, ...]] = {}

    def table(self, capabilities: Sequence[OpCapability], sample_inputs: Any) -> LatencyTable:
        """Return the seconds of every op that offers more than one config."""
        deadline = self._clock() + TOTAL_SECONDS
        self._shapes = self._shapes_on(sample_inputs)
        nodes = {node.name: node for node in self._graph.nodes}
        offered = {c.op: c for c in capabilities if len(c.configs) > 1 and c.op.name in nodes}
        # the largest first: they decide, if the time should not suffice for all
        order = sorted(offered, key=lambda op: -self._size(nodes[op.name]))
        timed: dict[OpKey, dict[OpConfig, Seconds]] = {}
        for op in order:
            if self._clock() > deadline:
                logger.info("the latency table stops after %g s: %d of %d ops are timed",
                            TOTAL_SECONDS, len(timed), len(order))  # fmt: skip
                break
            timed[op] = self._time(nodes[op.name], offered[op].configs)
        return self._assemble({op: timed[op] for op in offered if timed.get(op)}, nodes)

    # -- single ops --------------------------------------------------------------------------

    def _time(self, node: NodeProto, configs: Sequence[OpConfig]) -> dict[OpConfig, Seconds]:
        micro = float_micro_model(self._graph, node, self._shapes)
        if micro is None:
            return {}
        stem = f"{signature_of(micro)} {self._format}{self._kernels}"
        kinds = {config: _kind(config) for config in configs}
        representative = {kind: config for config, kind in reversed(kinds.items())}
        missing = [k for k in representative if f"{stem} {k}" not in self._known]
        if missing:
            # float is timed again beside what is new: only what was timed side by side compares
            wanted = dict.fromkeys([_kind(FP32), *missing])
            models = [self._micro_model(micro, node, representative.get(k, FP32)) for k in wanted]
            usable = [(k, m) for k, m in zip(wanted, models, strict=True) if m is not None]
            seconds = self._timed([m for _, m in usable])
            for (kind, _), found in zip(usable, seconds, strict=True):
                if found is not None:
                    self._known[f"{stem} {kind}"] = list(found)
        found_by_kind = {k: self._known.get(f"{stem} {k}") for k in representative}
        return {
            config: Seconds(*values)
            for config, kind in kinds.items()
            if (values := found_by_kind[kind]) is not None
        }

    def _timed(self, models: Sequence[OnnxModel]) -> list[Seconds | None]:
        """Time models, float first; a quantized one that looks a little slower gets a second chance."""
        first = time_models(models, self._context.threads)
        floats, *others = first
        if floats is None or not any(
            o and floats.kernels < o.kernels < FAR * floats.kernels for o in others
        ):
            return first
        second = time_models(models, self._context.threads)
        return [
            a if a is None or b is None else Seconds(*map(min, a, b))
            for a, b in zip(first, second, strict=True)
        ]

    def _micro_model(self, micro: OnnxModel, node: NodeProto, config: OpConfig) -> OnnxModel | None:
        if config == FP32:
            return micro
        try:
            return quantized_micro_model(
                self._graph, micro, node.name, config,
                table=self._table, output_format=self._format,
            )  # fmt: skip
        except IncError as error:
            logger.debug("%s cannot be timed as %s: %s", node.name, config, error)
            return None

    def _conversion(self, op_type: str, tensor: str) -> float:
        shape = self._shapes.get(tensor)
        if shape is None:
            return 0.0
        key = f"{op_type} {list(shape)}"
        if key not in self._known:
            found = time_models([conversion(op_type, shape)], self._context.threads)[0]
            self._known[key] = [0.0 if found is None else found.kernels]
        return float(self._known[key][0])

    def _size(self, node: NodeProto) -> float:
        """Return about how much an op computes: its results times the length of each sum."""
        results = math.prod(self._shapes.get(node.output[0], (0,)))
        weights = [n for n in node.input if n and self._graph.is_constant(n)]
        length = max((math.prod(self._graph.initializer(n).dims[1:]) for n in weights), default=1)
        return float(results * length)

    # -- the whole ---------------------------------------------------------------------------

    def _assemble(
        self, timed: Mapping[OpKey, Mapping[OpConfig, Seconds]], nodes: Mapping[str, NodeProto]
    ) -> LatencyTable:
        """Add what every static op must convert in any case, and price the edges between them."""
        seconds = {op: {c: s.kernels for c, s in row.items()} for op, row in timed.items()}
        makers = {output_tensor(self._graph, nodes[op.name]): op for op in timed}
        static = {op: s for op, row in timed.items() if (s := _static(row)) is not None}
        edges: dict[tuple[OpKey, OpKey], float] = {}
        for op, own in static.items():
            fixed = 0.0
            for tensor in dict.fromkeys(data_inputs(self._graph, nodes[op.name])):
                source = source_tensor(self._graph, tensor)
                maker = makers.get(source)
                if maker in static:
                    edges[maker, op] = self._edge(source, timed[maker], timed[op])
                elif not self._graph.is_constant(source):
                    fixed += self._conversion(_QUANTIZE, source) + own.layout_in
            output = output_tensor(self._graph, nodes[op.name])
            if any(reader not in static for reader in self._readers(output, timed)):
                fixed += self._conversion(_DEQUANTIZE, output) + own.layout_out
            for config in seconds[op]:
                if config.mode == "static":
                    seconds[op][config] += fixed
        return LatencyTable(seconds, {edge: cost for edge, cost in edges.items() if cost > 0})

    def _edge(
        self, tensor: str, first: Mapping[OpConfig, Seconds], second: Mapping[OpConfig, Seconds]
    ) -> float:
        """Return the mean of what both directions cost: into integers, and out of them."""
        a, b = _static(first), _static(second)
        assert a is not None and b is not None
        float_a, float_b = first.get(FP32, Seconds(0.0)), second.get(FP32, Seconds(0.0))
        into = self._conversion(_QUANTIZE, tensor) + float_a.layout_out + b.layout_in
        out = self._conversion(_DEQUANTIZE, tensor) + a.layout_out + float_b.layout_in
        return (into + out) / 2.0

    def _readers(self, tensor: str, timed: Mapping[OpKey, Any]) -> Iterator[OpKey | None]:
        """Yield who reads a tensor, directly or moved; ``None`` for the caller and for other ops."""
        if tensor in self._graph.outputs:
            yield None
        for node in self._graph.consumers(tensor):
            if moved_input(self._graph, node) == tensor:
                for output in node.output:
                    yield from self._readers(output, timed)
            else:
                op = OpKey(node.name, node.op_type)
                yield op if op in timed else None

    def _shapes_on(self, sample_inputs: Any) -> Mapping[str, tuple[int, ...]]:
        """Return every tensor's shape on one batch: inferred, or read off a run where that ends."""
        arrays = feed(input_infos(self._model.session), sample_inputs, self._context.inputs)
        sizes = sizes_of(self._graph, arrays)
        names = [name for node in self._graph.nodes for name in node.output if name]
        inferred = {name: shape_at(self._graph, name, sizes) for name in names}
        known = {name: shape for name, shape in inferred.items() if shape is not None}
        if len(known) < len(inferred):
            known = self._measured_shapes(names, arrays)
        return {**known, **{name: array.shape for name, array in arrays.items()}}

    def _measured_shapes(
        self, names: Sequence[str], arrays: Mapping[str, Any]
    ) -> dict[str, tuple[int, ...]]:
        """Run one batch and read the shapes of tensors."""
        graph = self._model.new_graph()
        for name in names:
            graph.add_node("Shape", [name], [f"inc_shape_of_{name}"])
        proto = graph.proto()
        del proto.graph.output[:]
        proto.graph.output.extend(
            helper.make_empty_tensor_value_info(f"inc_shape_of_{name}") for name in names
        )
        options = session_options(self._context.threads)
        values = new_session(proto, self._model.folder, options).run(None, arrays)
        return {n: tuple(int(d) for d in v) for n, v in zip(names, values, strict=True)}


def _kind(config: OpConfig) -> str:
    """Return what of a config decides the speed: not range, scheme or per-channel scales."""
    activation = "" if config.activation is None else config.activation.dtype
    weight = "" if config.weight is None else f"{config.weight.dtype}/{config.weight.group_size}"
    return f"{config.mode} {activation} {weight}".strip()


def _static(row: Mapping[OpConfig, Seconds]) -> Seconds | None:
    return next((seconds for config, seconds in row.items() if config.mode == "static"), None)
