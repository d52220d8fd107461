"""Rewrites of the float model that keep its function: cross-layer equalization.

Source: Nagel et al. 2019 (arXiv:1906.04721), section 4.1; the arithmetic is in
``inc_core.quant.equalize``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inc_core.quant.equalize import equalize_pair
from inc_onnx.graph import Graph
from inc_onnx.model import OnnxModel

__all__ = ["BIAS_CORRECTION", "EQUALIZATION", "applicable", "equalize"]

EQUALIZATION = "cross_layer_equalization"
BIAS_CORRECTION = "bias_correction"

# the pairs of a chain pull at each other; depthwise nets settle well within this many sweeps
_SWEEPS = 20
_SETTLED = 1e-3


class _Pair(NamedTuple):
    """Two convs with nothing but a ``Relu`` between them: weight, bias, next weight, its groups."""

    weight: str
    bias: str
    next_weight: str
    groups: int


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
    pairs = _pairs(graph)
    values = {name: np.array(graph.constant(name)) for name in _names(pairs)}
    for _ in range(_SWEEPS):
        change = max((_equalize(values, pair) for pair in pairs), default=0.0)
        if change < _SETTLED:
            break
    for name, value in values.items():
        graph.set_constant(name, value)
    return OnnxModel(graph.proto(), model.folder, threads=model.threads, obstacle=model.obstacle)


def _equalize(values: dict[str, np.ndarray[Any, Any]], pair: _Pair) -> float:
    """Scale one pair in place; return how far the largest factor was from 1, as a logarithm."""
    first, second = values[pair.weight], values[pair.next_weight]
    factors = equalize_pair(first, second, groups=pair.groups)
    values[pair.weight] = _times(first, 1 / factors, axis=0)
    if pair.bias:
        values[pair.bias] = (values[pair.bias] / factors).astype(np.float32)
    values[pair.next_weight] = _scale_inputs(second, factors, pair.groups)
    return float(np.abs(np.log(factors)).max(initial=0.0))


def _times(weight: np.ndarray[Any, Any], factors: np.ndarray[Any, Any], axis: int) -> Any:
    shape = [1] * weight.ndim
    shape[axis] = -1
    return (weight * factors.reshape(shape)).astype(np.float32)


def _scale_inputs(weight: np.ndarray[Any, Any], factors: np.ndarray[Any, Any], groups: int) -> Any:
    """Multiply the input channels of a grouped weight ``(out, in / groups, ...)``."""
    out, inside = weight.shape[:2]
    grouped = weight.reshape(groups, out // groups, inside, *weight.shape[2:])
    shape = (groups, 1, inside, *([1] * (weight.ndim - 2)))
    return (grouped * factors.reshape(shape)).reshape(weight.shape).astype(np.float32)


def _names(pairs: Sequence[_Pair]) -> set[str]:
    return {name for pair in pairs for name in (pair.weight, pair.bias, pair.next_weight) if name}


def _pairs(graph: Graph) -> list[_Pair]:
    found = []
    for node in graph.nodes:
        if node.op_type != "Conv" or not _owns_weights(graph, node):
            continue
        following = graph.only_consumer(node.output[0])
        if following is not None and following.op_type == "Relu":
            following = graph.only_consumer(following.output[0])
        if following is None or following.op_type != "Conv" or not _owns_weights(graph, following):
            continue
        bias = node.input[2] if len(node.input) > 2 else ""
        groups = graph.attribute(following, "group", 1)
        found.append(_Pair(node.input[1], bias, following.input[1], groups))
    return found


def _owns_weights(graph: Graph, node: Any) -> bool:
    """Whether weight and bias are constants that no other op reads."""
    return all(
        graph.is_constant(name) and graph.only_consumer(name) is node
        for name in node.input[1:]
        if name
    )
