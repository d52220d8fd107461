"""Static ``Gemm`` and ``MatMul`` with a constant weight, and ``MatMul`` of two activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import NodeProto

from inc_core.quant.spec import OpConfig
from inc_onnx.graph import Graph
from inc_onnx.kernels.bias import fit_weight_to_bias, integer_bias
from inc_onnx.kernels.conv import dequantized_bias, dequantized_weight, float_bias
from inc_onnx.kernels.specs import activation_rows, weighted_rows
from inc_onnx.topology import is_transformer
from inc_onnx.writer import MICROSOFT, GraphWriter, QuantizedTensor

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["KERNELS"]


def requires_gemm(graph: Graph, node: NodeProto) -> str | None:
    """A plain ``x @ W + b``: ``QGemm`` has no beta, and reads x as it is."""
    if not graph.is_float(node.input[0]):
        return "its input is not float32"
    if not graph.is_constant(node.input[1]):
        return "its weight is computed, not constant"
    if graph.attribute(node, "transA", 0) or graph.attribute(node, "alpha", 1.0) != 1.0:
        return "the int8 kernel has neither transA nor alpha"
    if len(node.input) < 3 or not node.input[2]:
        return None
    weight = graph.shape(node.input[1])
    columns = (weight or (0, 0))[0 if graph.attribute(node, "transB", 0) else 1]
    if graph.attribute(node, "beta", 1.0) != 1.0 or graph.shape(node.input[2]) != (columns,):
        return "the int8 kernel needs beta 1 and a bias of one number per column"
    return None if graph.is_constant(node.input[2]) else "its bias is computed, not constant"


def requires_matmul(graph: Graph, node: NodeProto) -> str | None:
    """A constant weight matrix on the right."""
    if not graph.is_float(node.input[0]):
        return "its input is not float32"
    if not graph.is_constant(node.input[1]):
        return "both inputs are activations"
    shape = graph.shape(node.input[1])
    return None if shape is not None and len(shape) == 2 else "its weight is not a matrix"


def requires_product(graph: Graph, node: NodeProto) -> str | None:
    """Two activations, outside of attention, whose fusion an int8 product would break."""
    if graph.is_constant(node.input[0]) or graph.is_constant(node.input[1]):
        return "an input is constant"
    if not all(graph.is_float(name) for name in node.input):
        return "its inputs are not float32"
    if is_transformer(graph):
        return "products of two activations stay float, so that attention stays fused and fast"
    return None


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write ``x @ W (+ b)``; the output is float unless a quantized op reads it."""
    assert config.weight is not None  # every row that names this function has one
    is_gemm = node.op_type == "Gemm"
    axis = 0 if is_gemm and Graph.attribute(node, "transB", 0) else 1
    x = writer.quantized(node.input[0])
    weight = writer.weight(node.input[1], config.weight, axis)
    bias = float_bias(writer.source, node, 2) if is_gemm else None
    if bias is not None:
        values = writer.source.constant(node.input[1])
        assert values is not None  # see requires_gemm
        weight = fit_weight_to_bias(values, weight, bias, float(x.qparams.scale), axis)
    stored = writer.stored_weight(node.input[1], weight.q_weight, weight.qparams.scale)
    names = []
    if bias is not None:
        integers = integer_bias(bias, float(x.qparams.scale), weight.qparams.scale)
        names = [writer.graph.add_constant(f"{node.name}_bias", integers)]
    output = _output(writer, node)
    if writer.is_qdq:
        inputs = [writer.dequantized(x), dequantized_weight(writer, stored, axis)]
        inputs += [dequantized_bias(writer, name, x, weight) for name in names]
        writer.wrap(node, inputs, output)
    elif is_gemm:
        _write_qgemm(writer, node, x, stored, names, output)
    else:
        _write_matmul(writer, node, x.parts, stored, output)


def emit_product(
    writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration
) -> None:
    """Write a product of two uint8 activations."""
    left, right = (writer.quantized(name) for name in node.input)
    output = _output(writer, node)
    if writer.is_qdq:
        writer.wrap(node, [writer.dequantized(left), writer.dequantized(right)], output)
    else:
        _write_matmul(writer, node, left.parts, right.parts, output)


def _output(writer: GraphWriter, node: NodeProto) -> QuantizedTensor | None:
    """Declare an integer output if a quantized op reads it: float leaves more accuracy, at no cost."""
    if writer.plan.wants_integer(writer.output_of(node)):
        return writer.new_output(node)
    return None


def _write_qgemm(
    writer: GraphWriter,
    node: NodeProto,
    x: QuantizedTensor,
    stored: tuple[str, str, str],
    bias: list[str],
    output: QuantizedTensor | None,
) -> None:
    inputs = [*x.parts, *stored, *(bias or [""])]
    if output is not None:
        inputs += [output.scale, output.zero_point]
    while not inputs[-1]:
        inputs.pop()
    transposed = Graph.attribute(node, "transB", 0)
    name = node.output[0] if output is None else output.name
    writer.replace(
        node, "QGemm", inputs, name, domain=MICROSOFT, alpha=1.0, transA=0, transB=transposed
    )


def _write_matmul(
    writer: GraphWriter,
    node: NodeProto,
    left: tuple[str, str, str],
    right: tuple[str, str, str],
    output: QuantizedTensor | None,
) -> None:
    if output is not None:
        inputs = [*left, *right, output.scale, output.zero_point]
        writer.replace(node, "QLinearMatMul", inputs, output.name)
        return
    a, a_scale, a_zero_point = left
    b, b_scale, b_zero_point = right
    inputs = [a, b, a_scale, b_scale, a_zero_point, b_zero_point]
    writer.replace(node, "MatMulIntegerToFloat", inputs, node.output[0], domain=MICROSOFT)


KERNELS = (
    *weighted_rows(["Gemm"], requires_gemm, emit),
    *weighted_rows(["MatMul"], requires_matmul, emit),
    *activation_rows("MatMul", requires_product, emit_product),
)
