"""Exact simplifications of a float graph that quantization profits from."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from inc_onnx.graph import Graph

__all__ = ["simplify"]


def simplify(graph: Graph) -> bool:
    """Apply every simplification in place; return whether anything changed."""
    changed = False
    for node in list(graph.nodes):
        rule = _RULES.get(node.op_type)
        if rule is not None and node.domain in ("", "ai.onnx"):
            changed |= rule(graph, node)
    return changed


def _drop(graph: Graph, node: NodeProto) -> bool:
    """Remove an op that gives its input back; the tensors of the model's interface keep their names."""
    if len([name for name in node.output if name and graph.consumers(name)]) > 1:
        return False  # a Dropout whose mask is read
    before, after = node.input[0], node.output[0]
    captured = any(after not in reader.input for reader in graph.consumers(after))
    if after in graph.outputs or captured:
        return False
    graph.remove(node)
    graph.redirect(after, before)
    return True


def _fold_batch_norm(graph: Graph, node: NodeProto) -> bool:
    """Fold batch normalization into the conv before it."""
    conv = graph.producer(node.input[0])
    if conv is None or conv.op_type != "Conv" or graph.only_consumer(conv.output[0]) is not node:
        return False
    if graph.attribute(node, "training_mode", 0):
        return False
    parameters = [graph.constant(name) for name in node.input[1:5]]
    weight = graph.constant(conv.input[1])
    has_bias = len(conv.input) > 2 and bool(conv.input[2])
    bias = graph.constant(conv.input[2]) if has_bias else np.zeros(1, np.float32)
    if weight is None or bias is None or any(p is None for p in parameters):
        return False
    gamma, beta, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = gamma / np.sqrt(variance + graph.attribute(node, "epsilon", 1e-5))
    folded = weight * factor.reshape(-1, *([1] * (weight.ndim - 1)))
    new_weight = graph.add_constant(f"{conv.input[1]}_folded", folded.astype(np.float32))
    new_bias = graph.add_constant(
        f"{conv.name}_bias", ((bias - mean) * factor + beta).astype(np.float32)
    )
    output = node.output[0]
    graph.remove(node)
    graph.set_inputs(conv, [conv.input[0], new_weight, new_bias])
    graph.set_outputs(conv, [output])
    return True


def _pool_for_mean(graph: Graph, node: NodeProto) -> bool:
    """Write the mean over height and width as the pooling that has an int8 kernel."""
    axes = graph.attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        values = graph.constant(node.input[1])
        axes = None if values is None else values.tolist()
    shape = graph.shape(node.input[0])
    if shape is None or len(shape) != 4 or axes is None or not graph.is_float(node.input[0]):
        return False
    if sorted(axis % 4 for axis in axes) != [2, 3] or not graph.attribute(node, "keepdims", 1):
        return False
    source, output, name = node.input[0], node.output[0], node.name
    graph.remove(node)
    graph.add_node("GlobalAveragePool", [source], [output]).name = name
    return True


def _dense(graph: Graph, node: NodeProto) -> bool:
    """Write a matrix product with a bias behind it as ``Gemm``, whose int8 kernel adds the bias."""
    shape, weight = graph.shape(node.input[0]), graph.shape(node.input[1])
    add = graph.only_consumer(node.output[0])
    if shape is None or len(shape) != 2 or not graph.is_constant(node.input[1]) or weight is None:
        return False
    if add is None or add.op_type != "Add" or len(weight) != 2:
        return False
    bias = add.input[1] if add.input[0] == node.output[0] else add.input[0]
    if not graph.is_constant(bias) or graph.shape(bias) != (weight[1],):
        return False
    name, inputs, output = node.name, [*node.input, bias], add.output[0]
    graph.remove(node)
    graph.remove(add)
    graph.add_node("Gemm", inputs, [output]).name = name
    return True


_RULES = {
    "Identity": _drop,
    "Dropout": _drop,
    "BatchNormalization": _fold_batch_norm,
    "ReduceMean": _pool_for_mean,
    "MatMul": _dense,
}
