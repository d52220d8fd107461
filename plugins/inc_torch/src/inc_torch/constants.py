"""What depends on no input is computed once, when a model is traced.

So a convolution has a constant weight though ``weight_norm``, ``spectral_norm`` or the model's own code
computes it in each call, and tables of relative positions are not looked up again and again.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from inc_torch.static.graphs import Draft
from inc_torch.static.prepare import attribute

__all__ = ["fold_constants"]

# Bytes. A value may take more than what it is computed from up to here: the mask of a long sequence, or
# an expanded table, would fill the file and be slower to read than to compute.
LARGEST_GAIN = 4 << 20


@torch.no_grad()
def fold_constants(draft: Draft) -> bool:
    """Replace nodes that depend on the state alone by buffers; return whether there were any.

    Args:
        draft: A graph in which nothing is written in place.
    """
    values: dict[fx.Node, Any] = {}
    for node in draft.graph.nodes:
        if node.op == "get_attr":
            value = attribute(draft, str(node.target))
            if isinstance(value, Tensor):
                values[node] = value.detach()
        elif _is_pure(node) and all(one in values for one in node.all_input_nodes):
            value = _value(node, values)
            if value is not None:
                values[node] = value
    computed = [node for node in values if node.op != "get_attr"]
    wanted = [node for node in computed if any(user not in values for user in node.users)]
    replaced = [node for node in wanted if isinstance(values[node], Tensor)]
    for node in replaced:
        _replace(draft, node, values[node])
    if replaced:
        draft.graph.eliminate_dead_code()
    return bool(replaced)


def _is_pure(node: fx.Node) -> bool:
    """Whether a call gives the same each time, and does nothing else."""
    if node.op != "call_function":
        return False
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    is_random = torch.Tag.nondeterministic_seeded in node.target.tags
    return not is_random and not node.target._schema.is_mutable


def _value(node: fx.Node, values: dict[fx.Node, Any]) -> Any:
    """Return what a node gives; ``None`` if that is nothing to keep."""
    args = map_arg(node.args, values.__getitem__)
    kwargs = map_arg(node.kwargs, values.__getitem__)
    traced = node.meta.get("val")
    given = sum(_size(values[one]) for one in node.all_input_nodes)
    if isinstance(traced, Tensor) and _size(traced) > given + LARGEST_GAIN:
        return None
    value = node.target(*args, **kwargs)
    return value if isinstance(value, (Tensor, tuple, list)) else None


def _size(value: Any) -> int:
    """Return the bytes of a tensor, or of all of them."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(_size, value)) if isinstance(value, (tuple, list)) else 0


def _replace(draft: Draft, node: fx.Node, value: Tensor) -> None:
    target = f"inc_constant_{node.name}"
    while hasattr(draft, target):
        target += "_"
    draft.register_buffer(target, value)
    with draft.graph.inserting_before(node):
        read = draft.graph.get_attr(target)
    read.meta["val"] = value
    node.replace_all_uses_with(read)
