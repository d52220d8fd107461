"""Graphs of one op: what a layer is on its own."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from inc_torch.naming import op_name
from inc_torch.static.prepare import attribute

__all__ = ["single_op"]


def single_op(graph: fx.GraphModule, node: fx.Node, x: Tensor) -> tuple[fx.GraphModule, fx.Node]:
    """Return a graph of one tensor in and one out that runs a node alone, and the node in it.

    Args:
        graph: Holds the node's constants, which are shared.
        node: Its first argument is the tensor, the others are constants or plain values.
        x: A tensor of the shape that the node reads.
    """
    alone = fx.Graph()
    tensors: dict[str, Tensor] = {}
    read = alone.placeholder("x")
    read.meta["val"] = torch.empty_like(x, device="meta")
    read.meta["inc_name"] = f"{op_name(node)}.input"
    copies = {node.args[0]: read}
    for one in node.all_input_nodes:
        if one.op == "get_attr":
            name = f"tensor_{len(tensors)}"
            tensors[name] = attribute(graph, str(one.target))
            copies[one] = alone.get_attr(name)
            copies[one].meta["val"] = tensors[name]
    copied = alone.node_copy(node, copies.__getitem__)
    alone.output((copied,))
    return fx.GraphModule(tensors, alone), copied
