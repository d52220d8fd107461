"""Models that cannot be traced: their own code runs, layer by layer some of it in integers.

Each layer of ``torch.nn`` with a kernel becomes a graph of one op, so that the same rows and the same
lowering serve it; the quantized graph takes the layer's place in a copy of the module.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn

from inc_torch.model import TorchModel
from inc_torch.naming import assign_names

__all__ = [
    "INPUT",
    "leaf_graphs",
    "leaf_layers",
    "linearized",
    "put_leaf",
    "shared_module",
    "with_leaves",
]

aten = torch.ops.aten

# after the path of a layer: the name of the tensor that it reads
INPUT = ".input"

# exact types: a subclass may compute something else, or have its weight read by others
_LINEAR, _CONVS = nn.Linear, {nn.Conv1d: aten.conv1d.default, nn.Conv2d: aten.conv2d.default}
# linear layers in spite of their name, whose weight is (inputs, outputs); GPT-2 is made of them
_TRANSPOSED = ("transformers.pytorch_utils", "Conv1D")


def linearized(module: nn.Module) -> nn.Module:
    """Return a module with ``nn.Linear`` where it has the transposed layers of ``transformers``.

    What was given is not changed; tensors are shared.
    """
    found = {path: layer for path, layer in module.named_modules() if _is_transposed(layer)}
    return with_leaves(module, {path: _linear(layer) for path, layer in found.items()})


def leaf_graphs(module: nn.Module) -> dict[str, fx.GraphModule]:
    """Return a graph of one op for each layer that has a kernel, by path in ``module``."""
    return {path: _graph(path, layer) for path, layer in leaf_layers(module).items()}


def leaf_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that have a kernel, by path in ``module``."""
    return {
        path: layer
        for path, layer in module.named_modules()
        if path and (type(layer) is _LINEAR or _is_plain_conv(layer))
    }


def shared_module(module: nn.Module, own: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Return a copy of a module's structure that shares its tensors.

    Args:
        module: What is copied.
        own: By path, values of tensors that the copy writes to: it has its own of these.
    """
    tensors = [*module.parameters(), *module.buffers()]
    copied = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    for path, value in (own or {}).items():
        owner, _, name = path.rpartition(".")
        setattr(copied.get_submodule(owner), name, value.clone())
    return copied


def with_leaves(
    module: nn.Module, leaves: Mapping[str, nn.Module], own: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return a copy of a module in which some layers are others; tensors but ``own`` are shared."""
    copied = shared_module(module, own)
    for path, leaf in leaves.items():
        put_leaf(copied, path, leaf)
    return copied.eval()


def put_leaf(module: nn.Module, path: str, leaf: nn.Module) -> None:
    """Put another layer in the place of one.

    Raises:
        AttributeError: If there is no such place.
    """
    parent, _, name = path.rpartition(".")
    owner = module.get_submodule(parent)
    if isinstance(leaf, TorchModel):
        leaf.stand_for(path, owner.get_submodule(name))
    owner.add_module(name, leaf)


def _is_transposed(layer: nn.Module) -> bool:
    return (type(layer).__module__, type(layer).__name__) == _TRANSPOSED


def _linear(layer: nn.Module) -> nn.Linear:
    inputs, outputs = layer.weight.shape
    linear = nn.Linear(inputs, outputs, device="meta")
    linear.weight = nn.Parameter(layer.weight.detach().t(), requires_grad=False)
    linear.bias = layer.bias
    return linear


def _is_plain_conv(layer: nn.Module) -> bool:
    return type(layer) in _CONVS and layer.padding_mode == "zeros" and layer.padding != "same"


def _graph(path: str, layer: nn.Module) -> fx.GraphModule:
    graph = fx.Graph()
    x, weight = graph.placeholder("input"), graph.get_attr("weight")
    bias = None if layer.bias is None else graph.get_attr("bias")
    tensors: dict[str, Tensor] = {"weight": layer.weight}
    if layer.bias is not None:
        tensors["bias"] = layer.bias
    if type(layer) is _LINEAR:
        node = graph.call_function(aten.linear.default, (x, weight, bias))
    else:
        geometry = (
            _listed(layer.stride),
            _listed(layer.padding),
            _listed(layer.dilation),
            layer.groups,
        )
        node = graph.call_function(_CONVS[type(layer)], (x, weight, bias, *geometry))
    for one, tensor in ((weight, layer.weight), (bias, layer.bias)):
        if one is not None:
            one.meta["val"] = tensor
    graph.output((node,))
    module = fx.GraphModule(tensors, graph)
    node.meta["nn_module_stack"] = {path: (path, f"torch.nn.modules.{type(layer).__name__}")}
    assign_names(module)
    # its input belongs to no named op: it is the tensor that this layer reads
    x.meta["inc_name"] = f"{path}{INPUT}"
    return module


def _listed(value: int | str | tuple[int, ...]) -> list[int]:
    return list(value) if isinstance(value, tuple) else [int(value)]
