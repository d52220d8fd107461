"""Dynamic int8: weights are stored as int8, activations become uint8 as they come.

Each input gets one scale per call, from its smallest and largest number. Readers of one tensor share
its integers: ``DynamicQuantizeLinear`` once, then ``MatMulIntegerToFloat`` for each; an op that is alone
with its input is a ``DynamicQuantizeMatMul``. A constant bias behind the product is added inside it.

``Conv`` is not here: ``ConvInteger`` is slower than a float conv (0.88 of its speed in ResNet-50, 0.35 in
MobileNetV2), because its result is converted in passes of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import NodeProto

from inc_core.quant.spec import OpConfig, TensorSpec
from inc_onnx.graph import Graph
from inc_onnx.kernels.conv import attributes
from inc_onnx.kernels.gemm import requires_gemm, requires_matmul
from inc_onnx.kernels.table import Kernel
from inc_onnx.processor import multiplies_int8_exactly
from inc_onnx.products import add_weight, replace_by_contrib_op, take_bias
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
    weight, scale = add_weight(writer, node, config.weight)
    bias, output = take_bias(writer, node)
    x = node.input[0]
    if _is_alone(writer.source, x):
        inputs = [x, weight, scale, "", bias]
        replace_by_contrib_op(writer, node, "DynamicQuantizeMatMul", inputs, output)
        return
    q_x, x_scale, x_zero_point = _quantized(writer.graph, x)
    inputs = [q_x, weight, x_scale, scale, x_zero_point, "", bias]
    replace_by_contrib_op(writer, node, "MatMulIntegerToFloat", inputs, output)


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
    replace_by_contrib_op(writer, node, "QAttention", inputs, node.output[0], **attributes(node))


def _is_alone(source: Graph, tensor: str) -> bool:
    """Whether at most one op that can be dynamic reads a tensor."""
    readers = [node for node in source.consumers(tensor) if node.op_type in _TYPES]
    return bool(sum(tensor == node.input[0] for node in readers) < 2)


def _quantized(graph: Graph, tensor: str) -> tuple[str, str, str]:
    """Return the integers of a tensor, their scale and zero point; made now if nobody has yet."""
    for node in graph.consumers(tensor):
        if node.op_type == "DynamicQuantizeLinear":
            return node.output[0], node.output[1], node.output[2]
    stems = ("quantized", "dynamic_scale", "dynamic_zero_point")
    names = [graph.fresh(f"{tensor}_{stem}") for stem in stems]
    graph.add_node("DynamicQuantizeLinear", [tensor], names)
    return names[0], names[1], names[2]


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
