"""Linears that read the same tensor, as one: query, key and value of attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from inc_torch.static import ops
from inc_torch.static.graphs import named_arguments, put_constant
from inc_torch.static.prepare import attribute

__all__ = ["merge_linears"]

aten = torch.ops.aten
# they hand views of the joint result on, whatever its strides
_STRIDES_DO_NOT_MATTER = {
    aten.unflatten.int,
    aten.reshape.default,
    aten.transpose.int,
    aten.permute.default,
}


def merge_linears(module: fx.GraphModule) -> None:
    """Join float results of linears over one tensor, in place; each channel is computed as before."""
    groups: dict[tuple[Any, ...], list[fx.Node]] = {}
    for node in module.graph.nodes:
        if node.target is ops.linear and _may_join(node):
            given = named_arguments(node)
            key = (given["q_x"], given["x_scale"], given["x_zero_point"], given["bias"] is None)
            groups.setdefault(key, []).append(node)
    for nodes in groups.values():
        if len(nodes) > 1:
            _join(module, nodes)


def _may_join(node: fx.Node) -> bool:
    given = named_arguments(node)
    is_plain = given["out_scale"] is None and given["post"] == "none"
    return is_plain and all(user.target in _STRIDES_DO_NOT_MATTER for user in node.users)


def _join(module: fx.GraphModule, nodes: Sequence[fx.Node]) -> None:
    first = named_arguments(nodes[0])
    constants = []
    with module.graph.inserting_before(nodes[0]):
        for name in ("q_weight", "w_scale", "bias"):
            parts = [named_arguments(node)[name] for node in nodes]
            if parts[0] is None:
                constants.append(None)
                continue
            tensors = [attribute(module, part.target) for part in parts]
            constants.append(
                put_constant(module, f"_{name}_of_{nodes[0].name}", torch.cat(tensors))
            )
        arguments = (first["q_x"], first["x_scale"], first["x_zero_point"], *constants, None, 0)
        joint = module.graph.call_function(ops.linear, arguments)
        sizes = [len(attribute(module, named_arguments(node)["w_scale"].target)) for node in nodes]
        start = 0
        for node, size in zip(nodes, sizes, strict=True):
            piece = module.graph.call_function(aten.slice.Tensor, (joint, -1, start, start + size))
            node.replace_all_uses_with(piece)
            start += size
    for node in nodes:
        module.graph.erase_node(node)
