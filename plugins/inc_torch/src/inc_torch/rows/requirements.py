"""What a node must be for a row to serve it."""

from __future__ import annotations

import torch
from torch import fx

from inc_torch.editing import float_dtype
from inc_torch.normalize import constant

__all__ = ["constant_weight", "floating_weight"]

# what our own operators read and give back; they compute in float32 or in integers
_FLOATING = (torch.float32, torch.bfloat16, torch.float16)


def constant_weight(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Ask for a float32 weight, and bias if there is one, that are constants of the model."""
    return _refused(graph, node, (torch.float32,))


def floating_weight(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """As ``constant_weight``, in float32 or half precision: language models come in bfloat16."""
    return _refused(graph, node, _FLOATING)


def _refused(graph: fx.GraphModule, node: fx.Node, dtypes: tuple[torch.dtype, ...]) -> str | None:
    weight = constant(graph, node.args[1])
    if weight is None:
        return "its weight is computed, not a constant"
    if weight.dtype not in dtypes:
        allowed = " or ".join(_name(dtype) for dtype in dtypes)
        return f"its weight is {_name(weight.dtype)}, not {allowed}"
    bias = node.args[2] if len(node.args) > 2 else None
    if bias is not None and constant(graph, bias) is None:
        return "its bias is computed, not a constant"
    computed = float_dtype(node)
    if computed not in (None, weight.dtype):
        return f"it computes in {_name(computed)}, its weight is {_name(weight.dtype)}"
    return None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
