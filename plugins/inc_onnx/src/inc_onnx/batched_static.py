"""Static int8 products of rank 3 and more: ``QuantizeLinear``, then one op that gives float, bias included.

They are the linear layers of transformers, whose neighbours (attention, normalization, GELU) are float.
Q/DQ pairs are no way to say it: with a bias ``Add`` behind the ``MatMul``, ONNX Runtime 1.32 makes a float
``Gemm`` of the two that dequantizes the whole weight in every call (0.18 of the speed of this form,
BERT-base, one core with AVX512-VNNI). So this form is written whatever the output format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import NodeProto

from inc_core.quant.spec import OpConfig
from inc_onnx.graph import Graph
from inc_onnx.kernels.gemm import requires_matmul
from inc_onnx.kernels.specs import weighted_rows
from inc_onnx.products import add_weight, replace_by_contrib_op, take_bias
from inc_onnx.writer import GraphWriter

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["KERNELS"]


def requires(graph: Graph, node: NodeProto) -> str | None:
    """A product of a tensor of rank 3 or more with a constant matrix."""
    if node.op_type != "MatMul":
        return "it is no matrix product"
    shape = graph.shape(node.input[0])
    if shape is not None and len(shape) < 3:
        return "its input is a matrix"
    return requires_matmul(graph, node)


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write ``MatMulIntegerToFloat``; readers of one tensor share its integers."""
    assert config.weight is not None  # every static row of a MatMul with a weight has one
    x = writer.quantized(node.input[0])
    weight, scale = add_weight(writer, node, config.weight)
    bias, output = take_bias(writer, node)
    inputs = [x.name, weight, x.scale, scale, x.zero_point, "", bias]
    replace_by_contrib_op(writer, node, "MatMulIntegerToFloat", inputs, output)


KERNELS = weighted_rows(["MatMul"], requires, emit)
