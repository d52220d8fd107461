"""Ops that pass integers on: their result holds the same numbers, so it shares their quantization."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from inc_torch.static import ops
from inc_torch.static.config import Scale

__all__ = ["SharedScales", "carried", "emit_carrier", "pair", "reads_shape_only"]

aten = torch.ops.aten
Emit = Callable[..., fx.Node]

_MOVERS = {
    aten.flatten.using_ints,
    aten.view.default,
    aten._unsafe_view.default,
    aten.reshape.default,
    aten.unflatten.int,
    aten.permute.default,
    aten.transpose.int,
    aten.t.default,
    aten.slice.Tensor,
    aten.select.int,
    aten.narrow.default,
    aten.unsqueeze.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.expand.default,
    aten.flip.default,
    aten.roll.default,
    aten.pixel_shuffle.default,
    aten.channel_shuffle.default,
    aten.upsample_nearest2d.vec,
}
_COPIES = {aten.contiguous.default, aten.clone.default}
_SPLITTERS = {
    aten.chunk.default,
    aten.split.Tensor,
    aten.split_with_sizes.default,
    aten.unbind.int,
}
_VIEWS = {aten.view.default, aten._unsafe_view.default}
_SHAPES = {aten.sym_size.int, aten.sym_numel.default, aten.sym_stride.int}


def reads_shape_only(node: fx.Node) -> bool:
    """Whether a node looks at its input's shape and not at its numbers."""
    return node.target in _SHAPES


def carried(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the tensors whose numbers ``node`` passes on unchanged; nothing for other ops."""
    if node.op != "call_function":
        return ()
    if node.target in (aten.cat.default, aten.stack.default):
        return tuple(one for one in node.args[0] if isinstance(one, fx.Node))
    if not node.args or not isinstance(node.args[0], fx.Node):
        return ()
    if node.target is operator.getitem:
        return (node.args[0],) if node.args[0].target in _SPLITTERS else ()
    plain = node.target in _MOVERS | _COPIES | _SPLITTERS
    return (node.args[0],) if plain or node.target is aten.max_pool2d.default or _pads(node) else ()


def emit_carrier(
    node: fx.Node,
    scale: Scale,
    call: Emit,
    integers: Callable[[fx.Node], Any],
    rest: Callable[[Any], Any],
) -> fx.Node:
    """Write ``node`` into the new graph, on integers.

    Args:
        node: One for which ``carried`` returns something.
        scale: What its inputs and its result share.
        call: Appends a call to the new graph.
        integers: Gives the u8 form of a tensor.
        rest: Translates other arguments, such as sizes.
    """
    if node.target is aten.max_pool2d.default:
        return call(ops.max_pool2d, integers(node.args[0]), *_pooling(node))
    if _pads(node):
        return call(ops.pad, integers(node.args[0]), rest(node.args[1]), scale.zero_point)
    if node.target in _COPIES:
        return integers(node.args[0])  # lowered graphs neither write in place nor rely on strides
    first = node.args[0]
    converted = (
        [integers(one) for one in first] if isinstance(first, (list, tuple)) else integers(first)
    )
    # a view of what torch laid out as batch, channels, height, width is none in channels-last memory
    target = aten.reshape.default if node.target in _VIEWS else node.target
    return call(target, converted, *rest(node.args[1:]), **rest(node.kwargs))


class SharedScales:
    """Which tensors must be quantized alike, and how: sets joined by the ops that carry numbers on.

    Args:
        graph: A prepared graph.
        scales: Joins the quantization of several tensors, given by name; see ``config.cover``.
        known: Quantization by node name.
    """

    def __init__(
        self,
        graph: fx.Graph,
        known: Mapping[str, Any],
        scales: Callable[[str, Mapping[str, Any]], Scale],
    ) -> None:
        self._parents: dict[fx.Node, fx.Node] = {}
        self._order = {node: number for number, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            for one in carried(node):
                self._join(one, node)
        self._known, self._cover = known, scales
        self._members: dict[fx.Node, list[fx.Node]] = {}
        for node in graph.nodes:
            self._members.setdefault(self.source(node), []).append(node)
        self._found: dict[fx.Node, Scale | None] = {}

    def source(self, node: fx.Node) -> fx.Node:
        """Return the first tensor, in execution order, that must be quantized like ``node``."""
        while node in self._parents:
            node = self._parents[node]
        return node

    def producers(self, node: fx.Node) -> tuple[str, ...]:
        """Return the names of the tensors whose numbers ``node`` holds, or shares its scale with."""
        return tuple(m.name for m in self._members[self.source(node)] if not carried(m))

    def get(self, node: fx.Node) -> Scale | None:
        """Return the quantization of a tensor; ``None`` if nothing is known of it and its like.

        Where several were given, those of the tensors that the numbers come from count; if these
        differ (concatenation), one scale covers all of them.
        """
        source = self.source(node)
        if source not in self._found:
            self._found[source] = self._choose(node, self._members[source])
        return self._found[source]

    def _choose(self, node: fx.Node, members: Sequence[fx.Node]) -> Scale | None:
        known = {m.name: self._known[m.name] for m in members if m.name in self._known}
        producers = set(self.producers(node))
        if producers <= known.keys():
            return self._cover(
                node.name, {name: known[name] for name in known if name in producers}
            )
        # one producer's range says nothing of the others'; that of a tensor made of all of them does
        behind = {name: one for name, one in known.items() if name not in producers}
        return self._cover(node.name, behind) if behind else None

    def _join(self, one: fx.Node, other: fx.Node) -> None:
        first, second = sorted((self.source(one), self.source(other)), key=self._order.__getitem__)
        if first is not second:
            self._parents[second] = first


def _pads(node: fx.Node) -> bool:
    """Whether ``node`` pads with 0, which every quantized tensor can hold."""
    if node.target is aten.pad.default:
        mode, position = (node.args[2] if len(node.args) > 2 else "constant"), 3
    elif node.target is aten.constant_pad_nd.default:
        mode, position = "constant", 2
    else:
        return False
    value = node.args[position] if len(node.args) > position else node.kwargs.get("value", 0)
    return mode == "constant" and not value


def _pooling(node: fx.Node) -> tuple[Any, ...]:
    """Return kernel, stride, padding, dilation (pairs) and ceil_mode."""
    given = dict(enumerate(node.args[1:]))
    kernel = pair(given[0])
    stride = pair(given.get(1) or kernel)
    padding, dilation = pair(given.get(2, 0)), pair(given.get(3, 1))
    return (
        kernel,
        stride,
        padding,
        dilation,
        bool(given.get(4, node.kwargs.get("ceil_mode", False))),
    )


def pair(value: int | Sequence[int]) -> list[int]:
    """Return height and width of an argument that may be one number for both."""
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values
