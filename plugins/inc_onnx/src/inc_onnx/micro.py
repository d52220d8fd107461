"""Micro-models: one op of a graph, with what fuses into it, as a model of its own.

A static op is cut between the conversions: it takes and gives integers, as it does between integer
neighbours; what converting costs is timed apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import onnx
from onnx import NodeProto, TensorProto, helper

from inc_core.quant.calibrator import Calibration
from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import OpConfig, TensorKey, TensorSpec
from inc_onnx.capabilities import find_kernel
from inc_onnx.graph import Graph
from inc_onnx.kernels.table import Kernel
from inc_onnx.model import OnnxModel
from inc_onnx.plan import StaticPlan
from inc_onnx.topology import fused_activation, output_tensor
from inc_onnx.weights import WeightCache
from inc_onnx.writer import GraphWriter, OutputFormat

__all__ = ["conversion", "float_micro_model", "quantized_micro_model", "signature_of"]

_INTEGER = TensorProto.UINT8


class _AnyRange(Calibration):
    """Ranges without data: a kernel takes as long whatever its scale is."""

    def __init__(self) -> None:
        super().__init__({}, 0)

    def merged_qparams(self, keys: Sequence[TensorKey], spec: TensorSpec) -> QParams:
        """Return the scale of values between -1 and 1."""
        return choose_qparams(-1.0, 1.0, spec)


class _EveryOpStatic(StaticPlan):
    """Quantizes an op that moves much and computes little, too, though it is alone here."""

    def _choose_live(self, configs: Mapping[str, OpConfig]) -> None:
        self.configs.update(configs)
        for node in self._graph.nodes:
            if node.name in configs:
                self._makers[output_tensor(self._graph, node)] = node


def float_micro_model(
    graph: Graph, node: NodeProto, shapes: Mapping[str, tuple[int, ...]]
) -> OnnxModel | None:
    """Return an op with its fused activation; ``None`` where a shape is unknown.

    Args:
        graph: The float graph.
        node: The op.
        shapes: Of every tensor that is not constant, as it was in one run.
    """
    nodes = [node]
    bias = _bias_add(graph, node)
    activation = fused_activation(graph, node)
    nodes += [other for other in (bias, activation) if other is not None]
    made = {name for member in nodes for name in member.output}
    read = dict.fromkeys(name for member in nodes for name in member.input if name)
    inputs = [name for name in read if name not in made and not graph.is_constant(name)]
    output = nodes[-1].output[0]
    if not inputs or any(name not in shapes for name in (*inputs, output)):
        return None
    infos = {
        name: helper.make_tensor_value_info(name, graph.element_type(name) or 1, shapes[name])
        for name in (*inputs, output)
    }
    weights = [graph.initializer(name) for name in read if graph.is_constant(name)]
    body = helper.make_graph(
        nodes, "micro", [infos[name] for name in inputs], [infos[output]], weights
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()]
    return OnnxModel(helper.make_model(body, opset_imports=opsets, ir_version=8), graph.folder)


def _bias_add(graph: Graph, node: NodeProto) -> NodeProto | None:
    """Return the ``Add`` of a constant vector behind a ``MatMul``: int8 and float both absorb it."""
    if node.op_type != "MatMul":
        return None
    following = graph.only_consumer(node.output[0])
    if following is None or following.op_type != "Add":
        return None
    vector = next((name for name in following.input if graph.is_constant(name)), None)
    return following if vector is not None and len(graph.shape(vector) or ()) == 1 else None


def quantized_micro_model(
    source: Graph,
    micro: OnnxModel,
    name: str,
    config: OpConfig,
    *,
    table: Sequence[Kernel],
    output_format: OutputFormat,
) -> OnnxModel:
    """Return a micro-model whose op runs a config; integers go in and out of a static one.

    Args:
        source: The whole float graph, which decides whether a kernel serves the op.
        micro: What ``float_micro_model`` gave.
        name: Name of the op.
        config: One that the op offers.
        table: The kernels of the run.
        output_format: The form that the run writes.
    """
    graph = micro.graph
    calibration = _AnyRange()
    static = {name: config} if config.mode == "static" else {}
    writer = GraphWriter(
        graph,
        micro.new_graph(),
        output_format=output_format,
        weights=WeightCache(),
        plan=_EveryOpStatic(graph, static, calibration),
    )
    original = next(node for node in source.nodes if node.name == name)
    kernel = find_kernel(source, original, config, table)
    assert kernel is not None  # capabilities are generated from the same table
    for node in list(writer.graph.nodes):
        if node.name == name:
            kernel.emit(writer, node, config, calibration)
    proto = writer.finish()
    return OnnxModel(_without_conversions(proto) if static else proto, micro.folder)


def _without_conversions(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Let the integers of inputs come from the caller, and give those of the output to it."""
    graph = proto.graph
    inputs = {info.name: info for info in graph.input}
    outputs = {info.name: info for info in graph.output}
    renamed: dict[str, onnx.ValueInfoProto] = {}
    for node in list(graph.node):
        if node.op_type == "QuantizeLinear" and node.input[0] in inputs:
            _retype(inputs[node.input[0]], node.output[0])
            graph.node.remove(node)
        elif node.op_type == "DequantizeLinear" and node.output[0] in outputs:
            renamed[node.input[0]] = outputs[node.output[0]]
            graph.node.remove(node)
    for name, info in renamed.items():
        _retype(info, name)
    for info in [i for i in graph.value_info if i.name in {*renamed, *inputs}]:
        graph.value_info.remove(info)
    return proto


def _retype(info: onnx.ValueInfoProto, name: str) -> None:
    info.name = name
    info.type.tensor_type.elem_type = _INTEGER


def conversion(op_type: str, shape: Sequence[int]) -> OnnxModel:
    """Return a model that is one ``QuantizeLinear`` or ``DequantizeLinear`` of a tensor."""
    types = (TensorProto.FLOAT, _INTEGER)
    before, after = types if op_type == "QuantizeLinear" else types[::-1]
    node = helper.make_node(op_type, ["x", "scale", "zero_point"], ["y"], name="conversion")
    weights = [
        helper.make_tensor("scale", TensorProto.FLOAT, (), [0.01]),
        helper.make_tensor("zero_point", _INTEGER, (), [128]),
    ]
    graph = helper.make_graph(
        [node],
        "conversion",
        [helper.make_tensor_value_info("x", before, shape)],
        [helper.make_tensor_value_info("y", after, shape)],
        weights,
    )
    opset = helper.make_opsetid("", 13)
    return OnnxModel(helper.make_model(graph, opset_imports=[opset], ir_version=8))


def signature_of(micro: OnnxModel) -> str:
    """Return what the time of a float micro-model depends on: op types, attributes and shapes."""
    graph = micro.proto.graph
    index: dict[str, int] = {}
    parts = []
    for node in graph.node:
        attributes = sorted(attribute.SerializeToString() for attribute in node.attribute)
        names = [index.setdefault(name, len(index)) for name in (*node.input, *node.output)]
        parts.append(f"{node.domain}:{node.op_type} {names} {attributes}")
    for info in (*graph.input, *graph.output):
        tensor = info.type.tensor_type
        dims = [d.dim_value for d in tensor.shape.dim]
        parts.append(f"{index.get(info.name)} {tensor.elem_type} {dims}")
    parts += [f"{index.get(t.name)} {t.data_type} {list(t.dims)}" for t in graph.initializer]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
    return f"{graph.node[0].op_type} {digest}"
