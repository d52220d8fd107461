"""Static int8: u8 activations with calibrated ranges, s8 weights, lowered by ``inc_torch.static``."""

from __future__ import annotations

import torch
from torch import fx

from inc_core.quant.spec import OpConfig, TensorSpec
from inc_torch.op_table import Row
from inc_torch.processor import multiplies_int8_exactly
from inc_torch.rows.requirements import constant_weight
from inc_torch.static.fusion import kind_of

__all__ = ["rows"]

_ALGORITHMS = ("minmax", "percentile", "kl", "mse")
# uint8 alone: oneDNN runs signed activations in a reference kernel, thousands of times slower
_ACTIVATIONS = {
    scheme: tuple(TensorSpec("uint8", scheme, "per_tensor", name) for name in _ALGORITHMS)
    for scheme in ("asym", "sym")
}


def rows() -> tuple[Row, ...]:
    """Return the rows of ops with a weight: per channel before per tensor; then of additions."""
    dtypes = ("int8",) if multiplies_int8_exactly() else ("int7", "int8")
    weights = [
        TensorSpec(dtype, "sym", granularity)
        for dtype in dtypes
        for granularity in ("per_channel", "per_tensor")
    ]
    weighted = tuple(
        Row(op_type, OpConfig("static", activation, weight), requires)
        for op_type, requires in (
            ("Conv2d", _weighted),
            ("Conv1d", _weighted),
            ("Linear", _weighted),
        )
        for activations in _ACTIVATIONS.values()
        for weight in weights
        for activation in activations
    )
    additions = tuple(
        Row("Add", OpConfig("static", activation), _addition)
        for activations in _ACTIVATIONS.values()
        for activation in activations
    )
    return weighted + additions


def _weighted(graph: fx.GraphModule, node: fx.Node) -> str | None:
    unfit = constant_weight(graph, node)
    return unfit or (None if kind_of(node) else "oneDNN has no int8 form of it in torch")


def _addition(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Ask for two computed tensors of one shape, at least one of which an integer op can give."""
    first, second = (*node.args, None)[:2]
    if not (isinstance(first, fx.Node) and isinstance(second, fx.Node)):
        return "it adds a number, which costs nothing in float"
    shapes = []
    for one in (first, second):
        value = one.meta.get("val")
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            return "it does not add two float32 tensors"
        shapes.append(tuple(map(str, value.shape)))  # comparing symbols would ask for their values
    if shapes[0] != shapes[1] or node.kwargs.get("alpha", 1) != 1:
        return "it adds tensors of different shapes"
    if not any(_from_convolution(one) for one in (first, second)):
        return "no convolution before it: integers would only be converted twice"
    return None if kind_of(node) else "oneDNN has no int8 form of it in torch"


def _from_convolution(node: fx.Node) -> bool:
    return "conv" in str(node.target)
