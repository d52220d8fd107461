"""Parts that every int8 matrix product with a float result shares: its weight, and the bias behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto

from inc_core.quant.spec import TensorSpec
from inc_onnx.graph import Graph
from inc_onnx.writer import MICROSOFT, GraphWriter

__all__ = ["add_weight", "replace_by_contrib_op", "take_bias"]


def add_weight(writer: GraphWriter, node: NodeProto, spec: TensorSpec) -> tuple[str, str]:
    """Add the int8 weight of a ``MatMul`` or ``Gemm`` in the layout ``(in, out)``, once for all its readers.

    Returns:
        The names of the weight and of its scale, which has shape ``()`` or ``(out,)``.
    """
    name = node.input[1]
    transposed = node.op_type == "Gemm" and bool(Graph.attribute(node, "transB", 0))
    quantized = writer.weight(name, spec, axis=0 if transposed else 1)
    values = quantized.q_weight
    if transposed:
        values = writer.weights.once(
            ("transposed", name, spec), lambda: np.ascontiguousarray(quantized.q_weight.T)
        )
    scale = np.asarray(quantized.qparams.scale, np.float32)
    key = (name, spec, transposed)
    return (
        writer.constant((*key, "weight"), f"{name}_quantized", values),
        writer.constant((*key, "scale"), f"{name}_scale", scale),
    )


def take_bias(writer: GraphWriter, node: NodeProto) -> tuple[str, str]:
    """Return the bias that a kernel can add, and the tensor behind it; an ``Add`` of it is removed.

    Returns:
        Name of the float bias, or ``""``, and of the tensor that the kernel is to give.
    """
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


def replace_by_contrib_op(
    writer: GraphWriter,
    node: NodeProto,
    op_type: str,
    inputs: Sequence[str],
    output: str,
    **attributes: Any,
) -> None:
    """Put a ``com.microsoft`` op in the place of a node; empty inputs at the end are left out."""
    used = list(inputs)
    while used and not used[-1]:
        used.pop()
    writer.replace(node, op_type, used, output, domain=MICROSOFT, **attributes)
