"""What a node must be for a row to serve it."""

from __future__ import annotations

import torch
from torch import fx

from inc_torch.editing import float_dtype
from inc_torch.normalize import constant

__all__ = ["constant_weight"]


def constant_weight(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Ask for a float32 weight, and bias if there is one, that are constants of the model."""
    weight = constant(graph, node.args[1])
    if weight is None:
        return "its weight is computed, not a constant"
    if weight.dtype != torch.float32:
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}, not float32"
    bias = node.args[2] if len(node.args) > 2 else None
    if bias is not None and constant(graph, bias) is None:
        return "its bias is computed, not a constant"
    if float_dtype(node) not in (None, torch.float32):
        return "it does not compute in float32"
    return None
