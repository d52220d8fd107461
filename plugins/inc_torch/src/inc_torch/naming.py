"""Stable names for the nodes of a graph: the path of the module that a node came from."""

from __future__ import annotations

from collections import Counter

import torch
from torch import fx

from inc_core.quant.spec import OpKey, TensorKey

__all__ = ["assign_names", "nodes_by_name", "op_key", "op_name", "op_type", "tensor_key"]

_NAME = "inc_name"

# by operator without its overload: what users call it; others are named after the operator
_TYPES = {
    "conv1d": "Conv1d",
    "conv2d": "Conv2d",
    "conv3d": "Conv3d",
    "conv_transpose1d": "ConvTranspose1d",
    "conv_transpose2d": "ConvTranspose2d",
    "linear": "Linear",
    "matmul": "MatMul",
    "bmm": "MatMul",
    "scaled_dot_product_attention": "Attention",
    "batch_norm": "BatchNorm",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "instance_norm": "InstanceNorm",
    "rms_norm": "RMSNorm",
    "lstm": "LSTM",
    "gru": "GRU",
    "gelu": "GELU",
    "silu": "SiLU",
    "relu": "ReLU",
    "embedding_bag": "EmbeddingBag",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2d",
    "max_pool2d": "MaxPool2d",
    "avg_pool2d": "AvgPool2d",
}


def assign_names(graph: fx.GraphModule) -> None:
    """Give each node that computes a name of its own, kept in its ``meta``.

    An op of a layer of ``torch.nn`` is named after the layer's path (``layer1.0.conv1``); an op that
    a module of the user computes itself after module and function (``layer1.0.add``). Further ops
    of the same name are numbered in execution order.
    """
    inputs = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    taken = Counter(inputs)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            node.meta[_NAME] = node.name
        elif node.op == "call_function":
            name = _base_name(node)
            count = taken[name]
            taken[name] += 1
            while count and taken[f"{name}_{count}"]:
                count += 1
            if count:
                name = f"{name}_{count}"
                taken[name] += 1
            node.meta[_NAME] = name


def op_name(node: fx.Node) -> str:
    """Return the name that ``assign_names`` gave; the node's own where it gave none."""
    return str(node.meta.get(_NAME, node.name))


def op_type(node: fx.Node) -> str:
    """Return the type of an op in the words of users."""
    function = _function(node)
    return _TYPES.get(function, function.replace("_", " ").title().replace(" ", ""))


def op_key(node: fx.Node) -> OpKey:
    """Return which op a node is."""
    return OpKey(op_name(node), op_type(node))


def tensor_key(node: fx.Node) -> TensorKey:
    """Return which tensor a node computes."""
    return TensorKey(op_name(node))


def nodes_by_name(graph: fx.GraphModule | fx.Graph) -> dict[str, fx.Node]:
    """Return the nodes that compute, the inputs and the constants, by name."""
    nodes = graph.nodes if isinstance(graph, fx.Graph) else graph.graph.nodes
    named = [node for node in nodes if node.op != "output"]
    # a constant has the name of its node, which may be the path of an op: the op comes first
    named.sort(key=lambda node: node.op != "get_attr")
    return {op_name(node): node for node in named}


def _base_name(node: fx.Node) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, owner = stack[-1] if stack else ("", "")
    owner = owner if isinstance(owner, str) else f"{owner.__module__}.{owner.__qualname__}"
    # metadata of torch's own making, where the node has none of the model
    path = "" if path.startswith("_empty_nn_module_stack") else path
    if path and owner.startswith("torch.nn.modules."):
        return path
    return f"{path}.{_function(node)}" if path else _function(node)


def _function(node: fx.Node) -> str:
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.split("::")[1]
    return getattr(target, "__name__", str(target))
