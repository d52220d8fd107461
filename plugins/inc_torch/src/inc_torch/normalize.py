"""One form for exported graphs: nothing in place, constants and batch norms folded, layers recognized."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from inc_torch.constants import fold_constants
from inc_torch.static.graphs import Draft
from inc_torch.static.prepare import attribute, bring_into_form

__all__ = ["MutatingError", "constant", "normalize", "replace_constant"]

aten = torch.ops.aten

# they only check what tracing assumed; inputs are checked against the signature
_CHECKS = frozenset(
    {aten._assert_tensor_metadata.default, aten._assert_async.msg, aten._assert_scalar.default,
     aten.sym_constrain_range_for_size.default, aten.sym_constrain_range.default}
)  # fmt: skip
_VIEWS = frozenset({aten.view.default, aten._unsafe_view.default})


class MutatingError(Exception):
    """The graph writes into tensors in a way that needs a full functionalization."""


def normalize(graph: Draft) -> fx.GraphModule:
    """Return a traced graph in the form that everything else reads.

    Args:
        graph: Used up; its tensors are shared.

    Raises:
        MutatingError: If it writes to views, to inputs or to its state.
    """
    bring_into_form(graph)
    for node in list(graph.graph.nodes):
        if node.target in _CHECKS:
            graph.graph.erase_node(node)
    for node in graph.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable:
            raise MutatingError(f"{node.target} writes to {node.args[0]}")
    if fold_constants(graph):
        bring_into_form(graph)  # batch normalization behind weights that are constants only now
    for node in list(graph.graph.nodes):
        _recognize_linear(graph, node)
        _lay_out_channels_last(graph, node)
    graph.graph.eliminate_dead_code()
    _mark_constants(graph)
    # a new module has only what the graph reads
    return fx.GraphModule(graph, graph.graph)


def constant(graph: fx.GraphModule, node: object) -> Tensor | None:
    """Return the tensor that a node reads from the module's state; ``None`` if it is computed."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value = attribute(graph, str(node.target))
    return value if isinstance(value, Tensor) else None


def replace_constant(
    graph: fx.GraphModule, node: fx.Node, position: int, name: str, value: Tensor
) -> None:
    """Make argument ``position`` of ``node`` read a new buffer, called after ``name``."""
    target = name.replace(".", "_")
    while hasattr(graph, target):
        target += "_"
    graph.register_buffer(target, value)
    with graph.graph.inserting_before(node):
        read = graph.graph.get_attr(target)
    read.meta["val"] = value
    args = [*node.args, *[None] * (position + 1 - len(node.args))]
    args[position] = read
    node.args = tuple(args)


def _recognize_linear(graph: fx.GraphModule, node: fx.Node) -> None:
    """Write a product with a constant matrix as the linear layer that it is."""
    if node.target is aten.addmm.default and not node.kwargs:
        bias, x, matrix = node.args
    elif node.target in (aten.matmul.default, aten.mm.default):
        (x, matrix), bias = node.args, None
    else:
        return
    weight = constant(graph, matrix)
    added = None if bias is None else constant(graph, bias)
    if (
        weight is None
        or weight.dim() != 2
        or (bias is not None and (added is None or added.dim() != 1))
    ):
        return
    node.target = aten.linear.default
    node.args = (x, matrix, bias)
    replace_constant(
        graph, node, 1, f"{matrix.target}_transposed", weight.detach().t().contiguous()
    )


def _lay_out_channels_last(graph: fx.GraphModule, node: fx.Node) -> None:
    """Give images the memory in which oneDNN convolves: the weight decides, results follow it.

    The float model is 1.2 to 2 times as fast so, in the same float32 operators.
    """
    if node.target in _VIEWS:
        node.target = aten.reshape.default  # no view where memory is not laid out in order
    weight = constant(graph, node.args[1]) if node.target is aten.conv2d.default else None
    if weight is None or weight.dim() != 4:
        return
    laid_out = weight.detach().contiguous(memory_format=torch.channels_last)
    if laid_out.data_ptr() != weight.data_ptr():
        replace_constant(graph, node, 1, f"{node.args[1].target}_channels_last", laid_out)


def _mark_constants(graph: fx.GraphModule) -> None:
    """Note the shapes of constants where tracing did not: those that were made since."""
    for node in graph.graph.nodes:
        value = constant(graph, node)
        if value is not None:
            node.meta["val"] = value
