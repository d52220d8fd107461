"""Which nodes become one fused op: a convolution or linear, its activation, its residual addition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from inc_torch.static.config import StaticConfig
from inc_torch.static.epilogue import NONE, Epilogue, epilogue_of

__all__ = ["Fusion", "find_fusions", "geometry_of", "is_conv2d", "kind_of"]

aten = torch.ops.aten
# stride, padding, dilation, groups
Geometry = tuple[list[int], list[int], list[int], int]

_CONV2D = {aten.conv2d.default, aten.conv2d.padding}
_KINDS: Mapping[Any, str] = {
    aten.conv1d.default: "conv",
    aten.conv1d.padding: "conv",
    aten.conv2d.default: "conv",
    aten.conv2d.padding: "conv",
    aten.linear.default: "linear",
    aten.add.Tensor: "add",
}


@dataclass(frozen=True)
class Fusion:
    """Nodes that one op computes.

    Attributes:
        node: The convolution, linear or addition.
        kind: ``"conv"``, ``"linear"`` or ``"add"``.
        tail: The node whose result the op gives: the last of them.
        epilogue: Applied to the result of ``node``.
        addition: The addition that is fused, or ``None``.
        other: What is added then.
        relu: Whether ReLU follows the addition.
    """

    node: fx.Node
    kind: str
    tail: fx.Node
    epilogue: Epilogue = NONE
    addition: fx.Node | None = None
    other: fx.Node | None = None
    relu: bool = False

    @property
    def absorbed(self) -> set[fx.Node]:
        """Nodes that no longer exist on their own."""
        chain, node = set(), self.tail
        while node is not self.node:
            chain.add(node)
            node = next(one for one in node.all_input_nodes if one is not self.other)
        return (chain | {self.node}) - {self.tail}


def kind_of(node: fx.Node) -> str | None:
    """Return ``"conv"``, ``"linear"`` or ``"add"`` for a node that has a static kernel, else ``None``.

    Weights must be constants; an addition must be of two tensors of one shape.
    """
    kind = _KINDS.get(node.target) if node.op == "call_function" else None
    if kind == "add":
        return kind if _is_plain_addition(node) else None
    if kind is None:
        return None
    constants = [one for one in node.args[1:3] if one is not None]
    fixed = all(isinstance(one, fx.Node) and one.op == "get_attr" for one in constants)
    if not fixed or not isinstance(node.args[0], fx.Node) or node.kwargs:
        return None
    weight = node.args[1].meta.get("val")
    is_float = isinstance(weight, torch.Tensor) and weight.dtype == torch.float32
    return kind if is_float and geometry_of(node, weight) else None


def geometry_of(node: fx.Node, weight: torch.Tensor) -> Geometry | None:
    """Return the numbers of a convolution, or of a linear's trivial one; ``None`` for uneven padding."""
    rank = weight.dim() - 2
    given = dict(enumerate(node.args[3:]))
    stride, dilation = (_spread(given.get(position, [1]), rank) for position in (0, 2))
    padding = given.get(1, [0])
    if isinstance(padding, str):
        reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        reach = reach if padding == "same" else [0] * rank
        if any(one % 2 for one in reach):
            return None  # torch pads more on one side then, which oneDNN ops of torch cannot
        padding = [one // 2 for one in reach]
    return stride, _spread(padding, rank), dilation, given.get(3, 1)


def _spread(value: Sequence[int], rank: int) -> list[int]:
    return list(value) * rank if len(value) == 1 else list(value)


def is_conv2d(node: fx.Node) -> bool:
    """Whether a node is a convolution in two dimensions."""
    return node.target in _CONV2D


def find_fusions(
    graph: fx.Graph, decisions: Mapping[str, StaticConfig], wanted: Callable[[fx.Node], bool]
) -> dict[fx.Node, Fusion]:
    """Return the fused ops by their tails.

    A chain ends where its tensor has more than one user. Of two convolutions that meet in an
    addition the later one takes it: the other's result exists by then.

    Args:
        graph: A prepared graph.
        decisions: By node name, which nodes are static.
        wanted: Whether a tensor will be kept in integers.
    """
    static = [node for node in graph.nodes if node.name in decisions and kind_of(node)]
    fusions: dict[fx.Node, Fusion] = {}
    taken: set[fx.Node] = set()
    # additions last: what no convolution took stays an op of its own
    for node in sorted(reversed(static), key=lambda one: kind_of(one) == "add"):
        if node in taken:
            continue
        fusion = _extend(node, decisions, taken, wanted)
        fusions[fusion.tail] = fusion
        taken |= fusion.absorbed | {fusion.tail}
    return fusions


def _extend(
    node: fx.Node,
    decisions: Mapping[str, StaticConfig],
    taken: set[fx.Node],
    wanted: Callable[[fx.Node], bool],
) -> Fusion:
    kind, user = str(kind_of(node)), _only_user(node)
    alone = Fusion(node, kind, node)
    if user is None or user in taken:
        return alone
    if kind == "add":
        relu = user.target is aten.relu.default
        return Fusion(node, kind, user, relu=True) if relu else alone
    if kind_of(user) == "add":
        if kind == "conv" and user.name in decisions:
            return _conv_addition(node, user, taken, wanted) or alone
        # oneDNN adds float32 tensors to a linear, so the addition must not be static
        added = kind == "linear" and user.name not in decisions and _other(user, node)
        return Fusion(node, kind, user, addition=user, other=added) if added else alone
    epilogue = epilogue_of(user, kind)
    return Fusion(node, kind, user, epilogue) if epilogue else alone


def _conv_addition(
    node: fx.Node, addition: fx.Node, taken: set[fx.Node], wanted: Callable[[fx.Node], bool]
) -> Fusion | None:
    """Fuse an addition into a convolution: u8 + u8 -> u8, in two dimensions."""
    other, user = _other(addition, node), _only_user(addition)
    if other is None or not is_conv2d(node):
        return None
    relu = user is not None and user not in taken and user.target is aten.relu.default
    tail = user if user is not None and relu else addition
    if not wanted(tail):
        return None
    return Fusion(node, "conv", tail, addition=addition, other=other, relu=relu)


def _other(addition: fx.Node, node: fx.Node) -> fx.Node | None:
    """Return the addend that is not ``node``; ``None`` where it is added to itself."""
    return next((one for one in addition.args if one is not node), None)


def _is_plain_addition(node: fx.Node) -> bool:
    if len(node.args) != 2 or node.kwargs.get("alpha", 1) != 1:
        return False
    shapes = [_shape(one) for one in node.args]
    return shapes[0] is not None and shapes[0] == shapes[1]


def _shape(node: Any) -> tuple[str, ...] | None:
    """Return the traced shape of a float32 tensor, in words (comparing symbols would add guards)."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    is_float = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return tuple(map(str, value.shape)) if is_float else None


def _only_user(node: fx.Node) -> fx.Node | None:
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].op == "call_function" else None
