"""The packed form of a lowered graph: weights laid out once for oneDNN or our kernels, additions in place.

It gives the integers of the graph it is made of, eagerly and inside ``torch.compile``: the same ones where
oneDNN computes them, within a step where our own kernels do (``native``). Weights packed by oneDNN are opaque
tensors, which can be neither copied nor saved: they live in this form only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from inc_torch.static import native, ops, packed_linear, rounding
from inc_torch.static.graphs import Draft, copy_graph, named_arguments, put_constant
from inc_torch.static.merge import merge_linears
from inc_torch.static.prepare import attribute

__all__ = ["pack"]

_onednn = torch.ops.onednn


def pack(module: fx.GraphModule) -> fx.GraphModule:
    """Return the packed form of a lowered graph; ``module`` stays as it is and shares its tensors."""
    packed = copy_graph(module)
    merge_linears(packed)
    for node in list(packed.graph.nodes):
        rewrite = _REWRITES.get(node.target)
        if rewrite is not None:
            given = named_arguments(node)
            if not native.rewrite(packed, node, given):
                rewrite(packed, node, given)
    packed.graph.eliminate_dead_code()
    return _with_plain_constants(packed)


def _with_plain_constants(module: Draft) -> fx.GraphModule:
    """Rename tensors to plain attributes: dotted names of buffers cost 1 us each, in every call."""
    taken: dict[str, str] = {}
    constants = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            name = taken.setdefault(node.target, f"_constant_{len(taken)}")
            constants[name] = attribute(module, node.target)
            node.target = name
    called = {
        n.target: module.get_submodule(n.target)
        for n in module.graph.nodes
        if n.op == "call_module"
    }
    plain = fx.GraphModule(constants | called, module.graph, "PackedModule")
    for name, tensor in constants.items():
        delattr(plain, name)
        plain.__dict__[name] = tensor
    return plain


def _rewrite_conv(module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]) -> None:
    one_dimensional = attribute(module, given["q_weight"].target).dim() == 3
    op = _onednn.qconv1d_pointwise if one_dimensional else _onednn.qconv2d_pointwise
    ending = ops.out_arguments(given["out_scale"], given["out_zero_point"])
    with module.graph.inserting_before(node):
        start = _conv_arguments(module, node, given)
        post = (given["post"], ops.post_arguments(given["post_args"]), "")
        new = module.graph.call_function(op.default, (*start, *ending, *post))
    _replace(node, new)


def _rewrite_conv_add(module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]) -> None:
    ending = ops.out_arguments(given["out_scale"], given["out_zero_point"])
    addend = (given["other_scale"], given["other_zero_point"], "sum", 1.0)
    with module.graph.inserting_before(node):
        x, x_scale, x_zero_point, *weight, bias, stride, padding, dilation, groups = (
            _conv_arguments(module, node, given)
        )
        other = given["q_other"]
        if other is given["q_x"] or not _may_overwrite(other, node):
            cl = {"memory_format": torch.channels_last}
            other = module.graph.call_function(torch.ops.aten.clone.default, (other,), cl)
        new = module.graph.call_function(
            _onednn.qconv2d_pointwise.binary,
            (
                *(x, x_scale, x_zero_point, *weight, other, bias),
                *(stride, padding, dilation, groups, *ending, *addend),
                *("relu" if given["relu"] else "none", ops.post_arguments(()), ""),
            ),
        )
    _replace(node, new)


def _may_overwrite(tensor: fx.Node, user: fx.Node) -> bool:
    """Whether ``user`` is the last to see the memory of ``tensor``, which a convolution made."""
    if tensor.target not in _OWN_CHANNELS_LAST_MEMORY:
        return False
    order = {node: number for number, node in enumerate(tensor.graph.nodes)}
    others = [one for one in tensor.users if one is not user]
    return all(order[one] < order[user] and _reads_only(one) for one in others)


def _reads_only(user: fx.Node) -> bool:
    """Whether the result of ``user`` cannot be a view of what it reads."""
    return user.target in _READERS


def _conv_arguments(
    module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Return what all convolution ops begin with, the weight packed."""
    weight, scale = (attribute(module, given[name].target) for name in ("q_weight", "w_scale"))
    geometry = tuple(given[name] for name in ("stride", "padding", "dilation", "groups"))
    packed = ops.pack_conv(
        weight, scale, given["x_scale"], given["x_zero_point"], *geometry, given["size"]
    )
    return (
        *(given["q_x"], given["x_scale"], given["x_zero_point"]),
        put_constant(module, f"_packed_{node.name}", packed),
        given["w_scale"],
        _no_zero_points(module, len(scale)),
        given["bias"],
        *geometry,
    )


def _rewrite_linear(module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]) -> None:
    ending = ops.out_arguments(given["out_scale"], given["out_zero_point"])
    post = (given["post"], ops.post_arguments(given["post_args"]), given["algorithm"])
    with module.graph.inserting_before(node):
        start = _linear_arguments(module, node, given)
        arguments = (*start, given["bias"], *ending, *post)
        new = module.graph.call_function(packed_linear.linear, arguments)
    _replace(node, new)


def _rewrite_linear_add(module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]) -> None:
    with module.graph.inserting_before(node):
        start = _linear_arguments(module, node, given)
        ending = (
            *ops.out_arguments(None, 0),
            1.0,
            0,
            "add",
            1.0,
            "none",
            ops.post_arguments(()),
            "",
        )
        arguments = (*start, given["other"], given["bias"], *ending)
        new = module.graph.call_function(packed_linear.linear_add, arguments)
    _replace(node, new)


def _linear_arguments(
    module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]
) -> tuple[Any, ...]:
    weight = attribute(module, given["q_weight"].target)
    packed = _onednn.qlinear_prepack.default(weight, None)
    return (
        *(given["q_x"], given["x_scale"], given["x_zero_point"]),
        put_constant(module, f"_packed_{node.name}", packed),
        given["w_scale"],
        _no_zero_points(module, len(weight)),
    )


def _no_zero_points(module: fx.GraphModule, channels: int) -> fx.Node:
    return put_constant(module, f"_zeros_{channels}", torch.zeros(channels, dtype=torch.int32))


def _rewrite_quantize(module: fx.GraphModule, node: fx.Node, given: Mapping[str, Any]) -> None:
    node.target = rounding.quantize
    node.args, node.kwargs = tuple(given.values()), {}


def _replace(node: fx.Node, new: fx.Node) -> None:
    node.replace_all_uses_with(new)
    node.graph.erase_node(node)


_REWRITES: Mapping[Any, Callable[[fx.GraphModule, fx.Node, Mapping[str, Any]], None]] = {
    ops.conv: _rewrite_conv,
    ops.conv_add: _rewrite_conv_add,
    ops.linear: _rewrite_linear,
    ops.linear_add: _rewrite_linear_add,
    ops.quantize: _rewrite_quantize,
}
_CONVOLUTIONS = {
    ops.conv,
    ops.conv_add,
    _onednn.qconv2d_pointwise.default,
    _onednn.qconv2d_pointwise.binary,
}
_OWN_CHANNELS_LAST_MEMORY = _CONVOLUTIONS
_READERS = {*_CONVOLUTIONS, ops.add, ops.mean, ops.dequantize}
