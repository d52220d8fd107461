"""Static ops that move much and compute little: they pay only between integer neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto

from inc_core.quant.spec import OpConfig
from inc_onnx import batched_static
from inc_onnx.graph import Graph
from inc_onnx.kernels.conv import attributes
from inc_onnx.kernels.specs import activation_rows
from inc_onnx.kernels.table import Emit, Requires
from inc_onnx.plan import COMPUTE_TYPES
from inc_onnx.topology import is_transformer, output_tensor, source_tensor, upstream
from inc_onnx.writer import MICROSOFT, GraphWriter

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["KERNELS"]

# beyond this a constant is a mask that means "never", not a value; in 8 bits it would eat all the range
HUGE = 1e4
_MASK_SEARCH_DEPTH = 8

_QUANTIZED_TYPE = {
    "Add": "QLinearAdd",
    "Mul": "QLinearMul",
    "GlobalAveragePool": "QLinearGlobalAveragePool",
    "AveragePool": "QLinearAveragePool",
    "Sigmoid": "QLinearSigmoid",
    "LeakyRelu": "QLinearLeakyRelu",
}


def requires_neighbour(graph: Graph, node: NodeProto) -> str | None:
    """Float inputs, one of them from an op that may give integers; no attention, no mask."""
    if not all(graph.is_float(name) for name in node.input):
        return "its inputs are not all float32"
    if is_transformer(graph):
        return "elementwise ops of a transformer stay float, so that its fusions stay"
    if not any(_may_be_integer(graph, name) for name in node.input):
        return "no neighbour gives integers, so that converting would cost more than it saves"
    return None


def requires_no_mask(graph: Graph, node: NodeProto) -> str | None:
    """As ``requires_neighbour``, and no operand that masks with a huge constant."""
    if any(_is_mask(graph, name) for name in node.input):
        return "an operand is a mask with a huge constant, whose range 8 bits cannot hold"
    return requires_neighbour(graph, node)


def _may_be_integer(graph: Graph, tensor: str) -> bool:
    """Whether a tensor comes, through ops of this table only, from an op that computes in int8."""
    source = source_tensor(graph, tensor)
    maker = graph.producer(source)
    if maker is not None and maker.op_type in ("Relu", "Clip"):
        before = graph.producer(maker.input[0])
        if before is not None and output_tensor(graph, before) == source:
            maker = before
    if maker is None:
        return False
    if batched_static.requires(graph, maker) is None:
        return False  # a batched product gives float, with the bias behind it inside
    if maker.op_type in COMPUTE_TYPES:
        return graph.is_constant(maker.input[1])
    kept = maker.op_type in _QUANTIZED_TYPE or maker.op_type == "Concat"
    return kept and any(_may_be_integer(graph, name) for name in maker.input)


def _is_mask(graph: Graph, tensor: str) -> bool:
    names = {tensor}
    for node in upstream(graph, tensor, _MASK_SEARCH_DEPTH):
        if node.op_type in COMPUTE_TYPES:
            return False  # behind a layer of its own, a tensor is data
        names.update(node.input)
    constants = (graph.constant(name) for name in names)
    return any(
        values is not None and values.dtype.kind == "f" and np.any(np.abs(values) >= HUGE)
        for values in constants
    )


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write the op on uint8 inputs and output."""
    inputs = [writer.quantized(name) for name in node.input]
    output = writer.new_output(node)
    if writer.is_qdq:
        writer.wrap(node, [writer.dequantized(tensor) for tensor in inputs], output)
        return
    names = [name for tensor in inputs for name in tensor.parts]
    names += [output.scale, output.zero_point]
    extra = {"channels_last": 0} if node.op_type == "GlobalAveragePool" else {}
    writer.replace(
        node,
        _QUANTIZED_TYPE[node.op_type],
        names,
        output.name,
        domain=MICROSOFT,
        **attributes(node),
        **extra,
    )


def emit_concat(
    writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration
) -> None:
    """Write a plain ``Concat`` of integers where all have one scale, else one that rescales."""
    inputs = [writer.quantized(name) for name in node.input]
    output = writer.new_output(node)
    if all((x.scale, x.zero_point) == (output.scale, output.zero_point) for x in inputs):
        writer.replace(node, "Concat", [x.name for x in inputs], output.name, **attributes(node))
    elif writer.is_qdq:
        writer.wrap(node, [writer.dequantized(x) for x in inputs], output)
    else:
        names = [output.scale, output.zero_point, *(name for x in inputs for name in x.parts)]
        writer.replace(
            node, "QLinearConcat", names, output.name, domain=MICROSOFT, **attributes(node)
        )


_ROWS: Sequence[tuple[str, Requires, Emit]] = (
    ("Add", requires_no_mask, emit),
    ("Mul", requires_no_mask, emit),
    ("GlobalAveragePool", requires_neighbour, emit),
    ("AveragePool", requires_neighbour, emit),
    ("Sigmoid", requires_neighbour, emit),
    ("LeakyRelu", requires_neighbour, emit),
    ("Concat", requires_neighbour, emit_concat),
)

KERNELS = tuple(row for spec in _ROWS for row in activation_rows(*spec))
