"""One form for exported graphs: nothing in place, batch normalization folded, no dead ends."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import fx, nn

__all__ = ["MutatingError", "constant", "normalize", "replace_constant"]

aten = torch.ops.aten

_IDENTITIES = frozenset(
    {aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default,
     aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default}
)  # fmt: skip
_CHECKS = frozenset(
    {aten._assert_tensor_metadata.default, aten._assert_async.msg, aten._assert_scalar.default,
     aten.sym_constrain_range_for_size.default, aten.sym_constrain_range.default}
)  # fmt: skip
# their results share memory with an input: writing to them writes to it
_VIEWS = frozenset(
    {aten.view.default, aten.slice.Tensor, aten.select.int, aten.transpose.int, aten.permute.default,
     aten.unsqueeze.default, aten.squeeze.dim, aten.expand.default, aten.reshape.default,
     aten.flatten.using_ints, aten.t.default, aten.chunk.default, aten.split.Tensor}
)  # fmt: skip
_CONVS = frozenset({aten.conv1d.default, aten.conv2d.default, aten.conv3d.default})


class MutatingError(Exception):
    """The graph writes into tensors in a way that needs a full functionalization."""


def normalize(graph: fx.GraphModule) -> fx.GraphModule:
    """Rewrite a freshly exported graph, in place; return it.

    Raises:
        MutatingError: If it writes to views, to inputs or to its state.
    """
    _make_functional(graph)
    for node in list(graph.graph.nodes):
        if node.target in _IDENTITIES:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif node.target in _CHECKS:
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        if node.target == aten.batch_norm.default:
            _fold_batch_norm(graph, node)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    _drop_unused_state(graph)
    graph.graph.lint()
    graph.recompile()
    return graph


def _make_functional(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        if not node.target._schema.is_mutable:
            continue
        written = node.args[0] if node.args else None
        functional = _functional(node.target)
        safe = isinstance(written, fx.Node) and written.op == "call_function"
        if functional is None or not safe or _shares_memory(written):
            raise MutatingError(f"{node.target} writes to {written}")
        with graph.graph.inserting_before(node):
            new = graph.graph.call_function(functional, node.args, node.kwargs)
        new.meta = dict(node.meta)
        # who reads the written tensor later reads the new value
        written.replace_all_uses_with(new, delete_user_cb=_after(graph, node))
        node.replace_all_uses_with(new)
        graph.graph.erase_node(node)


def _functional(target: torch._ops.OpOverload) -> torch._ops.OpOverload | None:
    name = target._schema.name.split("::")[1]
    packet = getattr(aten, name.removesuffix("_"), None) if name.endswith("_") else None
    if packet is None or target._overloadname not in packet.overloads():
        return None
    return getattr(packet, target._overloadname)


def _shares_memory(node: fx.Node) -> bool:
    readers = any(user.target in _VIEWS for user in node.users)
    return node.target in _VIEWS or readers or node.target is getattr


def _after(graph: fx.GraphModule, node: fx.Node):  # type: ignore[no-untyped-def]
    order = {one: index for index, one in enumerate(graph.graph.nodes)}
    return lambda user: order.get(user, -1) > order[node]


def constant(graph: fx.GraphModule, node: object) -> torch.Tensor | None:
    """Return the tensor that a node reads from the module's state; ``None`` if it is computed."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    value: object = graph
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value if isinstance(value, torch.Tensor) else None


def replace_constant(
    graph: fx.GraphModule, node: fx.Node, position: int, name: str, value: torch.Tensor
) -> None:
    """Make argument ``position`` of ``node`` read a new buffer, called after ``name``."""
    target = name.replace(".", "_")
    while hasattr(graph, target):
        target += "_"
    graph.register_buffer(target, value)
    with graph.graph.inserting_before(node):
        read = graph.graph.get_attr(target)
    args = [*node.args, *[None] * (position + 1 - len(node.args))]
    args[position] = read
    node.args = tuple(args)


def _fold_batch_norm(graph: fx.GraphModule, node: fx.Node) -> None:
    """Fold a normalization with fixed statistics into the convolution that alone feeds it."""
    conv, *rest = node.args
    training, epsilon = bool(node.args[5]), float(node.args[7])
    is_conv = isinstance(conv, fx.Node) and conv.target in _CONVS and len(conv.users) == 1
    weight = constant(graph, conv.args[1]) if is_conv else None
    gamma, beta, mean, variance = (constant(graph, one) for one in rest[:4])
    if weight is None or training or mean is None or variance is None:
        return
    bias = constant(graph, conv.args[2]) if len(conv.args) > 2 else None
    new_weight, new_bias = nn.utils.fusion.fuse_conv_bn_weights(
        weight, bias, mean, variance, epsilon, gamma, beta
    )
    name = str(conv.args[1].target)
    replace_constant(graph, conv, 1, name, new_weight.detach())
    replace_constant(graph, conv, 2, name.replace("weight", "bias"), new_bias.detach())
    node.replace_all_uses_with(conv)
    graph.graph.erase_node(node)


def _drop_unused_state(graph: fx.GraphModule) -> None:
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for name, _ in [*graph.named_parameters(), *graph.named_buffers()]:
        if name not in used:
            _delete(graph, name.split("."))


def _delete(module: nn.Module, path: Iterable[str]) -> None:
    *parents, last = path
    for part in parents:
        module = getattr(module, part)
    delattr(module, last)
