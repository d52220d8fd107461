"""Rewrites of the float model that keep its function: cross-layer equalization.

Source: Nagel et al. 2019 (arXiv:1906.04721), section 4.1; the arithmetic is in
``inc_core.quant.equalize``.
"""

from __future__ import annotations

from typing import Any

from inc_core.quant.equalize import EqualizedPair, equalize_layers
from inc_onnx.graph import Graph
from inc_onnx.model import OnnxModel
from inc_onnx.topology import tensor_key

__all__ = ["BIAS_CORRECTION", "EQUALIZATION", "applicable", "equalize"]

EQUALIZATION = "cross_layer_equalization"
BIAS_CORRECTION = "bias_correction"


def applicable(graph: Graph) -> tuple[str, ...]:
    """Return the options that change anything for a model."""
    options = []
    if any(node.op_type == "Conv" and graph.is_constant(node.input[1]) for node in graph.nodes):
        options.append(BIAS_CORRECTION)
    if _pairs(graph):
        options.append(EQUALIZATION)
    return tuple(options)


def equalize(model: OnnxModel) -> OnnxModel:
    """Return a model with the same function, whose channels have similar weight ranges."""
    graph = model.new_graph()
    convs = _pairs(graph)
    pairs = [pair for pair, _ in convs]
    arrays = {name: graph.constant(name) for pair in pairs for name in pair[:3] if name is not None}
    values, factors = equalize_layers(arrays, pairs)
    for name, value in values.items():
        graph.set_constant(name, value)
    rewritten = OnnxModel(
        graph.proto(), model.folder, threads=model.threads, obstacle=model.obstacle
    )
    rewritten.channel_factors = {
        tensor_key(graph, tensor): factor
        for (_, tensors), factor in zip(convs, factors, strict=True)
        for tensor in tensors
    }
    return rewritten


def _pairs(graph: Graph) -> list[tuple[EqualizedPair, tuple[str, ...]]]:
    """Return pairs of convs with nothing but a ``Relu`` between, and the tensors between them."""
    found = []
    for node in graph.nodes:
        if node.op_type != "Conv" or not _owns_weights(graph, node):
            continue
        between = [node.output[0]]
        following = graph.only_consumer(node.output[0])
        if following is not None and following.op_type == "Relu":
            between.append(following.output[0])
            following = graph.only_consumer(following.output[0])
        if following is None or following.op_type != "Conv" or not _owns_weights(graph, following):
            continue
        bias = node.input[2] if len(node.input) > 2 else ""
        groups = graph.attribute(following, "group", 1)
        pair = EqualizedPair(node.input[1], bias or None, following.input[1], groups)
        found.append((pair, tuple(between)))
    return found


def _owns_weights(graph: Graph, node: Any) -> bool:
    """Whether weight and bias are constants that no other op reads."""
    return all(
        graph.is_constant(name) and graph.only_consumer(name) is node
        for name in node.input[1:]
        if name
    )
