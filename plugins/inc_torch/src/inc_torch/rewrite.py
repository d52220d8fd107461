"""Cross-layer equalization of traced models.

Source: Nagel et al. 2019 (arXiv:1906.04721), section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import fx

from inc_core.quant.equalize import EqualizedPair, equalize_layers
from inc_core.quant.spec import TensorKey
from inc_torch.editing import only_user, shared_copy
from inc_torch.model import TorchModel
from inc_torch.naming import op_type, tensor_key
from inc_torch.normalize import constant, replace_constant

__all__ = ["EQUALIZATION", "equalizable", "equalize"]

EQUALIZATION = "cross_layer_equalization"

aten = torch.ops.aten
_WEIGHTED = ("Conv1d", "Conv2d", "Linear")
# a channel scaled before them is the channel scaled behind them
_HOMOGENEOUS = frozenset(
    {aten.relu.default, aten.max_pool2d.default, aten.avg_pool2d.default,
     aten.adaptive_avg_pool2d.default, aten.mean.dim}
)  # fmt: skip
_FLATTENERS = frozenset({aten.flatten.using_ints, aten.view.default, aten.reshape.default})


class _Pair(NamedTuple):
    """Two layers and the tensors between them."""

    first: fx.Node
    second: fx.Node
    between: tuple[fx.Node, ...]


def equalizable(graph: fx.GraphModule) -> bool:
    """Whether equalization changes anything."""
    return bool(_pairs(graph))


def equalize(model: TorchModel) -> TorchModel:
    """Return a float model of the same function whose channel ranges agree across each pair."""
    graph = shared_copy(model.graph)
    pairs = _pairs(graph)
    arrays, named = {}, []
    for first, second, _ in pairs:
        for node in (first, second):
            arrays[f"{node.name}/weight"] = _array(graph, node, 1)
            if _array(graph, node, 2) is not None:
                arrays[f"{node.name}/bias"] = _array(graph, node, 2)
        bias = f"{first.name}/bias" if f"{first.name}/bias" in arrays else None
        named.append(
            EqualizedPair(f"{first.name}/weight", bias, f"{second.name}/weight", _groups(second))
        )
    found = equalize_layers({k: v for k, v in arrays.items() if v is not None}, named)
    layers = dict.fromkeys(node for pair in pairs for node in pair[:2])
    for node in layers:
        for position, part in ((1, "weight"), (2, "bias")):
            array = found.arrays.get(f"{node.name}/{part}")
            if array is not None:
                _put(graph, node, position, f"{node.name}_{part}_equalized", array)
    factors = _factors(pairs, found.factors)
    return TorchModel(shared_copy(graph), replace(model.facts, factors=factors))


def _pairs(graph: fx.GraphModule) -> list[_Pair]:
    found = []
    for node in graph.graph.nodes:
        if node.op != "call_function" or not _owns_weight(graph, node):
            continue
        between, follower = [node], only_user(node)
        while follower is not None and _keeps_channels(follower):
            between.append(follower)
            follower = only_user(follower)
        if follower is not None and _reads_channels_of(graph, follower, node, between[-1]):
            found.append(_Pair(node, follower, tuple(between)))
    return found


def _reads_channels_of(
    graph: fx.GraphModule, follower: fx.Node, first: fx.Node, tensor: fx.Node
) -> bool:
    """Whether a layer's input channels are the output channels of another."""
    if follower.args[:1] != (tensor,) or not _owns_weight(graph, follower):
        return False
    return _channels(graph, first) == _inputs(graph, follower)


def _owns_weight(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op != "call_function" or op_type(node) not in _WEIGHTED:
        return False
    return constant(graph, node.args[1]) is not None and len(node.args[1].users) == 1


def _keeps_channels(node: fx.Node) -> bool:
    if node.target is aten.mean.dim:
        return [dim % 4 for dim in node.args[1]] == [2, 3] and _rank(node.args[0]) == 4
    if node.target in _FLATTENERS:
        before, after = _shape(node.args[0]), _shape(node)
        same = before is not None and after is not None and before[1] == after[-1]
        return same and all(size == 1 for size in before[2:]) and len(after) == 2
    return node.target in _HOMOGENEOUS


def _shape(node: object) -> tuple[int | str, ...] | None:
    """Return the traced shape, open sizes in words: comparing these would ask for their values."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    if not isinstance(value, torch.Tensor):
        return None
    return tuple(size if isinstance(size, int) else str(size) for size in value.shape)


def _rank(node: object) -> int:
    shape = _shape(node)
    return -1 if shape is None else len(shape)


def _channels(graph: fx.GraphModule, node: fx.Node) -> int:
    return int(constant(graph, node.args[1]).shape[0])


def _inputs(graph: fx.GraphModule, node: fx.Node) -> int:
    return int(constant(graph, node.args[1]).shape[1]) * _groups(node)


def _groups(node: fx.Node) -> int:
    if op_type(node) == "Linear":
        return 1
    return int(node.args[6]) if len(node.args) > 6 else int(node.kwargs.get("groups", 1))


def _array(graph: fx.GraphModule, node: fx.Node, position: int) -> np.ndarray | None:
    value = constant(graph, node.args[position]) if len(node.args) > position else None
    return None if value is None else value.detach().numpy()


def _put(graph: fx.GraphModule, node: fx.Node, position: int, name: str, array: np.ndarray) -> None:
    old = constant(graph, node.args[position])
    new = torch.from_numpy(np.ascontiguousarray(array))
    if old is not None and old.dim() == 4 and old.is_contiguous(memory_format=torch.channels_last):
        new = new.contiguous(memory_format=torch.channels_last)
    replace_constant(graph, node, position, name, new)


def _factors(pairs: list[_Pair], factors: tuple[np.ndarray, ...]) -> Mapping[TensorKey, np.ndarray]:
    return {
        tensor_key(tensor): one
        for pair, one in zip(pairs, factors, strict=True)
        for tensor in pair.between
    }
