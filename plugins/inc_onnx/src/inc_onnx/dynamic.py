"""Dynamic int8: weights are stored as int8, activations become uint8 as they come.

Each input gets one scale per call, from its smallest and largest number. Readers of one tensor share
its integers: ``DynamicQuantizeLinear`` once, then ``MatMulIntegerToFloat`` for each; an op that is alone
with its input is a ``DynamicQuantizeMatMul``. A constant bias behind the product is added inside it.

``Conv`` is not here: ``ConvInteger`` is slower than a float conv (0.88 of its speed in ResNet-50, 0.35 in
MobileNetV2), because its result is converted in passes of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto

from inc_core.quant.spec import OpConfig, TensorSpec
from inc_onnx.graph import Graph
from inc_onnx.kernels.conv import attributes
from inc_onnx.kernels.gemm import requires_gemm, requires_matmul
from inc_onnx.kernels.table import Kernel
from inc_onnx.processor import multiplies_int8_exactly
from inc_onnx.writer import MICROSOFT, GraphWriter

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["KERNELS"]

_ACTIVATION = TensorSpec("uint8", "asym", "per_tensor")
_TYPES = frozenset({"MatMul", "Gemm", "Attention"})
_ATTENTION_INPUTS = ("past", "attention bias", "past sequence length")


def requires_attention(graph: Graph, node: NodeProto) -> str | None:
    """A self-attention whose merged projection is constant, without a cache."""
    if node.domain != MICROSOFT:
        return "only the com.microsoft form of attention has an int8 kernel"
    if len(node.input) < 3 or not all(graph.is_constant(name) for name in node.input[1:3]):
        return "its weight and bias are not both constant"
    for name, what in zip(node.input[4:], _ATTENTION_INPUTS, strict=False):
        if name:
            return f"the int8 kernel is not used with {what}"
    if any(a.name == "qkv_hidden_sizes" for a in node.attribute):
        return "query, key and value of different sizes have no int8 kernel"
    return None


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write ``x @ W (+ b)`` with a float result."""
    assert config.weight is not None  # every row of this module has one
    weight, scale = _weight(writer, node, config.weight)
    bias, output = _bias(writer, node)
    x = node.input[0]
    if _is_alone(writer.source, x):
        inputs = [x, weight, scale, "", bias]
        _replace(writer, node, "DynamicQuantizeMatMul", inputs, output)
        return
    q_x, x_scale, x_zero_point = _quantized(writer.graph, x)
    inputs = [q_x, weight, x_scale, scale, x_zero_point, "", bias]
    _replace(writer, node, "MatMulIntegerToFloat", inputs, output)


def emit_attention(
    writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration
) -> None:
    """Write ``QAttention``: the projection in int8, scores and softmax in float."""
    assert config.weight is not None  # every row of this module has one
    quantized = writer.weight(node.input[1], config.weight, axis=1)
    weight, scale, zero_point = writer.stored_weight(
        node.input[1], quantized.q_weight, quantized.qparams.scale
    )
    q_x, x_scale, x_zero_point = _quantized(writer.graph, node.input[0])
    mask = node.input[3] if len(node.input) > 3 else ""
    inputs = [q_x, weight, node.input[2], x_scale, scale, mask, x_zero_point, zero_point]
    _replace(writer, node, "QAttention", inputs, node.output[0], **attributes(node))


def _weight(writer: GraphWriter, node: NodeProto, spec: TensorSpec) -> tuple[str, str]:
    """Add the int8 weight in the layout ``(in, out)``; return the names of it and its scale."""
    name = node.input[1]
    transposed = node.op_type == "Gemm" and Graph.attribute(node, "transB", 0)
    quantized = writer.weight(name, spec, axis=0 if transposed else 1)
    values = quantized.q_weight
    if transposed:
        values = writer.weights.once(
            ("transposed", name, spec), lambda: np.ascontiguousarray(values.T)
        )
    scale = np.asarray(quantized.qparams.scale, np.float32)
    key = (name, spec, bool(transposed))
    return (
        writer.constant((*key, "weight"), f"{name}_quantized", values.astype(np.int8, copy=False)),
        writer.constant((*key, "scale"), f"{name}_scale", scale),
    )


def _bias(writer: GraphWriter, node: NodeProto) -> tuple[str, str]:
    """Return the bias that the kernel can add, if any, and the tensor behind it."""
    if node.op_type == "Gemm":
        return (node.input[2] if len(node.input) > 2 else ""), node.output[0]
    add = writer.graph.only_consumer(node.output[0])
    if add is None or add.op_type != "Add" or writer.plan.is_static(add):
        return "", node.output[0]
    bias = add.input[1] if add.input[0] == node.output[0] else add.input[0]
    columns = (writer.source.shape(node.input[1]) or (0, 0))[1]
    if not writer.graph.is_constant(bias) or writer.graph.shape(bias) != (columns,):
        return "", node.output[0]
    output = add.output[0]
    writer.graph.remove(add)
    return bias, output


def _is_alone(source: Graph, tensor: str) -> bool:
    """Whether at most one op that can be dynamic reads a tensor."""
    readers = [node for node in source.consumers(tensor) if node.op_type in _TYPES]
    return sum(tensor == node.input[0] for node in readers) < 2


def _quantized(graph: Graph, tensor: str) -> tuple[str, str, str]:
    """Return the integers of a tensor, their scale and zero point; made now if nobody has yet."""
    for node in graph.consumers(tensor):
        if node.op_type == "DynamicQuantizeLinear":
            return node.output[0], node.output[1], node.output[2]
    stems = ("quantized", "dynamic_scale", "dynamic_zero_point")
    names = [graph.fresh(f"{tensor}_{stem}") for stem in stems]
    graph.add_node("DynamicQuantizeLinear", [tensor], names)
    return names[0], names[1], names[2]


def _replace(
    writer: GraphWriter,
    node: NodeProto,
    op_type: str,
    inputs: Sequence[str],
    output: str,
    **kept: Any,
) -> None:
    used = list(inputs)
    while used and not used[-1]:
        used.pop()
    writer.replace(node, op_type, used, output, domain=MICROSOFT, **kept)


def _configs() -> tuple[OpConfig, ...]:
    dtypes = ("int8",) if multiplies_int8_exactly() else ("int7", "int8")
    return tuple(
        OpConfig("dynamic", _ACTIVATION, TensorSpec(dtype, "sym", granularity))
        for dtype in dtypes
        for granularity in ("per_channel", "per_tensor")
    )


KERNELS = tuple(
    Kernel(op_type, config, requires, write)
    for op_type, requires, write in (
        ("MatMul", requires_matmul, emit),
        ("Gemm", requires_gemm, emit),
        ("Attention", requires_attention, emit_attention),
    )
    for config in _configs()
)
