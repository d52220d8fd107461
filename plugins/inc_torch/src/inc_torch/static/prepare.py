"""Bring an exported graph into the form that lowering reads, without changing what it computes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from inc_torch.static.graphs import Draft, copy_graph

__all__ = ["attribute", "bring_into_form", "prepare", "set_buffer"]

aten = torch.ops.aten

# ReLU(inplace=True) and `x += y` are the in-place ops of real models
_FUNCTIONAL: Mapping[Any, Any] = {
    aten.relu_.default: aten.relu.default,
    aten.relu6_.default: aten.relu6.default,
    aten.hardtanh_.default: aten.hardtanh.default,
    aten.hardswish_.default: aten.hardswish.default,
    aten.silu_.default: aten.silu.default,
    aten.gelu_.default: aten.gelu.default,
    aten.leaky_relu_.default: aten.leaky_relu.default,
    aten.add_.Tensor: aten.add.Tensor,
    operator.iadd: aten.add.Tensor,
}
# what gives back its first argument in eval mode
_IDENTITIES = {
    aten.dropout.default,
    aten.alias.default,
    aten.detach.default,
    aten.lift_fresh_copy.default,
}
_CONVS = {aten.conv1d.default, aten.conv2d.default, aten.conv2d.padding, aten.conv3d.default}
_BATCH_NORMS = {
    aten.batch_norm.default,
    aten._native_batch_norm_legit_no_training.default,
}


def prepare(module: fx.GraphModule) -> fx.GraphModule:
    """Return a copy with batch norms folded, in-place ops made functional and no-ops removed.

    Nodes that stay keep their names; a folded or removed node gives way to its input. Weights that
    folding changes become new buffers, named after the old ones; all others are shared with ``module``.

    Args:
        module: An aten-level graph in eval mode, such as ``torch.export.export(...).module()``.
    """
    draft = copy_graph(module)
    bring_into_form(draft)
    return fx.GraphModule(draft, draft.graph)


def bring_into_form(draft: Draft) -> None:
    """Do in place what ``prepare`` does."""
    passes: tuple[Callable[[fx.GraphModule], None], ...] = (
        _drop_guards,
        _make_functional,
        _drop_identities,
        _fold_batch_norms,
    )
    for one in passes:
        one(draft)
    draft.graph.eliminate_dead_code()


def attribute(module: torch.nn.Module, target: str) -> Any:
    """Return the tensor that a ``get_attr`` node names."""
    owner, _, name = target.rpartition(".")
    return getattr(module.get_submodule(owner), name)


def set_buffer(module: torch.nn.Module, target: str, tensor: Tensor) -> None:
    """Register a buffer under a dotted name; missing modules on the way are made."""
    owner = module
    *path, name = target.split(".")
    for part in path:
        if not hasattr(owner, part):
            owner.add_module(part, torch.nn.Module())
        owner = getattr(owner, part)
    owner.register_buffer(name, tensor)


def _drop_guards(module: fx.GraphModule) -> None:
    """Remove the checks of input shapes that ``ExportedProgram.module()`` calls for their effect."""
    for node in list(module.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn" and not node.users:
            module.graph.erase_node(node)


def _make_functional(module: fx.GraphModule) -> None:
    """Replace in-place ops on tensors that nothing else can see."""
    order = {node: number for number, node in enumerate(module.graph.nodes)}
    for node in module.graph.nodes:
        functional = _FUNCTIONAL.get(node.target)
        if functional is None or not isinstance(node.args[0], fx.Node):
            continue
        changed = node.args[0]
        if node.target is not operator.iadd and _may_be_shared(changed, order[node], order):
            continue
        node.target = functional
        later = [user for user in changed.users if order[user] > order[node]]
        for user in later:
            user.replace_input_with(changed, node)


def _may_be_shared(changed: fx.Node, when: int, order: Mapping[fx.Node, int]) -> bool:
    """Whether another name of the changed memory may be read after the change."""
    if changed.op != "call_function":
        return True
    if any(_is_view(user) for user in changed.users if order[user] < when):
        return True
    return _is_view(changed) and _has_other_readers(changed)


def _has_other_readers(view: fx.Node) -> bool:
    """Whether anything but ``view`` may read the memory that it shows: a part of a result, not yet used."""
    base = view.args[0] if view.args else None
    if not isinstance(base, fx.Node) or base.op != "call_function" or len(base.users) > 1:
        return True
    return _is_view(base) and _has_other_readers(base)


def _is_view(node: fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return True  # a Python function or a module: anything is possible
    composite = schema.name in ("aten::reshape", "aten::contiguous", "aten::flatten", "aten::to")
    returned = [result.alias_info for result in schema.returns]
    return composite or any(alias is not None and not alias.is_write for alias in returned)


def _drop_identities(module: fx.GraphModule) -> None:
    for node in list(module.graph.nodes):
        if node.target in _IDENTITIES and not (
            node.target is aten.dropout.default and node.args[2]
        ):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)


def _fold_batch_norms(module: fx.GraphModule) -> None:
    for node in list(module.graph.nodes):
        if node.target not in _BATCH_NORMS:
            continue
        conv = node.args[0]
        if conv.target not in _CONVS or len(conv.users) != 1 or not _is_constant(conv):
            continue
        result = node
        if node.target is aten._native_batch_norm_legit_no_training.default:
            items = [user for user in node.users if user.target is operator.getitem]
            if len(items) != len(node.users) or any(item.args[1] != 0 for item in items):
                continue
            epsilon = node.args[6]
        elif node.args[5]:
            continue  # normalizes by the batch itself
        else:
            epsilon, items = node.args[7], []
        _fold(
            module,
            conv,
            [None if a is None else attribute(module, a.target) for a in node.args[1:5]],
            epsilon,
        )
        for one in items or [result]:
            one.replace_all_uses_with(conv)
        for one in (*items, node):
            module.graph.erase_node(one)


def _is_constant(conv: fx.Node) -> bool:
    bias = conv.args[2] if len(conv.args) > 2 else None
    return conv.args[1].op == "get_attr" and (bias is None or bias.op == "get_attr")


def _fold(
    module: fx.GraphModule, conv: fx.Node, statistics: list[Tensor | None], epsilon: float
) -> None:
    """Scale the weight and move the bias of ``conv`` as the batch norm would its result."""
    gamma, beta, mean, variance = statistics
    assert mean is not None and variance is not None
    factor = torch.rsqrt(variance.double() + epsilon)
    factor = factor if gamma is None else factor * gamma.double()
    weight = attribute(module, conv.args[1].target).detach()
    bias_node = conv.args[2] if len(conv.args) > 2 else None
    bias = mean.new_zeros(()) if bias_node is None else attribute(module, bias_node.target)
    shift = (bias.double() - mean.double()) * factor
    shift = shift if beta is None else shift + beta.double()
    # a weight may be used by several convolutions, each with a batch norm of its own
    stem = f"{conv.args[1].target}_folded_{conv.name}"
    tensors = (_scaled(weight, factor), shift.to(weight.dtype).detach())
    with module.graph.inserting_before(conv):
        for position, (name, tensor) in enumerate(
            zip((stem, f"{stem}_bias"), tensors, strict=True), start=1
        ):
            set_buffer(module, name, tensor)
            node = module.graph.get_attr(name)
            node.meta["val"] = tensor
            conv.args = (*conv.args[:position], node, *conv.args[position + 1 :])


def _scaled(weight: Tensor, factor: Tensor) -> Tensor:
    """Return a convolution's weight with scaled output channels, an image's as oneDNN wants it.

    In one pass: in float64, or laid out later, it takes six times as long.
    """
    factor = factor.to(weight.dtype).reshape(-1, *[1] * (weight.dim() - 1)).detach()
    layout = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
    return torch.mul(weight, factor, out=torch.empty_like(weight, memory_format=layout))
