"""``lower``: an exported float graph and decisions in, a graph of fused integer ops out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from inc_core.errors import QuantizationError, did_you_mean
from inc_core.quant.qparams import QParams
from inc_torch.static import ops
from inc_torch.static.carry import SharedScales, carried, emit_carrier, reads_shape_only
from inc_torch.static.config import Scale, StaticConfig, cover
from inc_torch.static.epilogue import NONE
from inc_torch.static.fusion import (
    Fusion,
    Geometry,
    find_fusions,
    geometry_of,
    is_conv2d,
    kind_of,
)
from inc_torch.static.pooling import Window, is_global_mean, keeps_dimensions, window_of
from inc_torch.static.weights import Weights
from inc_torch.static.zero_points import explicit_padding, input_size, zeros_of

__all__ = ["lower", "tensors_of"]

aten = torch.ops.aten


def lower(
    module: fx.GraphModule, decisions: Mapping[str, StaticConfig], qparams: Mapping[str, QParams]
) -> fx.GraphModule:
    """Return a graph in which the decided nodes run in static int8.

    Activations, residual additions and requantization are fused into convolutions and linears;
    tensors between static ops stay u8, through pooling, concatenation and changes of shape. What is
    not decided stays as it is, in float32. Float weights that are still used are shared with ``module``.

    Args:
        module: A graph as ``prepare`` returns it: aten ops, weights as ``get_attr``, traced shapes in
            ``meta["val"]``.
        decisions: By node name, the convolutions, linears and additions (of two tensors of one
            shape) that run in static int8, with the quantization of their weights.
        qparams: By node name, u8 quantization of the tensor that the node gives. Needed for what
            static ops read, see ``tensors_of``; where it is known of their results too, these are
            rounded at once and never become float.

    Returns:
        A ``GraphModule`` that calls ``inc_torch.static.ops``; integer weights are buffers beside where
        the float ones were: ``conv1.weight_int8``, ``conv1.weight_scale``. Run as it is, it is the
        reference; ``inc_torch.static.StaticModule`` runs it fast.

    Raises:
        QuantizationError: If a decided node cannot run in static int8, or a range is missing.
    """
    _check(module.graph, decisions)
    return _Lowering(module, decisions, qparams).run()


def tensors_of(module: fx.GraphModule, node_names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for each node, were it static, the tensors whose quantization ``lower`` looks for.

    Args:
        module: A graph as ``prepare`` returns it.
        node_names: Nodes for which a static config is thought of.

    Returns:
        By node name: what it reads, then what it gives after fused activations. Tensors that only
        pass integers on are named by the tensors where these come from.
    """
    decisions = {name: StaticConfig() for name in node_names}
    _check(module.graph, decisions)
    shared = SharedScales(module.graph, {}, cover)
    tails = {}
    for fusion in find_fusions(module.graph, decisions, lambda node: True).values():
        for node in (fusion.node, fusion.addition):
            if node is not None:
                tails[node.name] = fusion.tail
    wanted = {}
    for node in module.graph.nodes:
        if node.name in decisions:
            tensors = [*_read_by(node), tails[node.name]]
            names = [name for one in tensors for name in shared.producers(one)]
            wanted[node.name] = tuple(dict.fromkeys(names))
    return wanted


def _check(graph: fx.Graph, decisions: Mapping[str, StaticConfig]) -> None:
    nodes = {node.name: node for node in graph.nodes if node.op == "call_function"}
    for name in decisions:
        if name not in nodes:
            raise QuantizationError(
                f"{name!r}: no such node in this graph.{did_you_mean(name, nodes)}"
            )
        if kind_of(nodes[name]) is None:
            raise QuantizationError(
                f"{name!r} ({nodes[name].target}): no static int8 kernel. There are kernels for conv1d,"
                " conv2d and linear with constant weights, and for the addition of two tensors of one"
                " shape. Leave it out of the decisions."
            )


def _read_by(node: fx.Node) -> tuple[fx.Node, ...]:
    return (node.args[0], node.args[1]) if kind_of(node) == "add" else (node.args[0],)


@dataclass
class _Value:
    """A tensor of the old graph in the new one: in float, in integers, or in both."""

    real: Any = None
    integers: Any = None


class _Lowering:
    """One walk over the old graph that writes the new one."""

    def __init__(
        self,
        module: fx.GraphModule,
        decisions: Mapping[str, StaticConfig],
        qparams: Mapping[str, QParams],
    ) -> None:
        self.module, self.decisions = module, decisions
        self.scales = SharedScales(module.graph, qparams, cover)
        self.graph = fx.Graph()
        self.graph.set_codegen(module.graph._codegen)
        self.values: dict[fx.Node, _Value] = {}
        self.weights = Weights(module, self.graph)
        self._wanted: dict[fx.Node, bool] = {}
        self.fusions = find_fusions(module.graph, decisions, self.is_wanted)
        self.absorbed = {node for fusion in self.fusions.values() for node in fusion.absorbed}

    def run(self) -> fx.GraphModule:
        for node in self.module.graph.nodes:
            if node.op != "get_attr" and node not in self.absorbed:
                self.values[node] = self._emit(node)
                self._label(node, self.values[node])
        self.graph.eliminate_dead_code()
        return fx.GraphModule(self.weights.tensors | self._modules(), self.graph, "LoweredModule")

    def _label(self, node: fx.Node, value: _Value) -> None:
        """Note in the new nodes which tensor they hold, and its scale if in u8: for observers."""
        for new in (value.real, value.integers):
            if isinstance(new, fx.Node):
                new.meta.setdefault("inc_name", node.meta.get("inc_name", node.name))
        if isinstance(value.integers, fx.Node):
            scale = self._scale(node)
            value.integers.meta["inc_scale"] = [scale.scale, scale.zero_point]

    def is_wanted(self, node: fx.Node) -> bool:
        """Whether all users of a tensor take integers, and its quantization is known."""
        if node not in self._wanted:
            users = [user for user in node.users if not reads_shape_only(user)]
            self._wanted[node] = (
                bool(users)
                and self.scales.get(node) is not None
                and all(self._takes_integers(user, node) for user in users)
            )
        return self._wanted[node]

    def _takes_integers(self, user: fx.Node, tensor: fx.Node) -> bool:
        if user.name in self.decisions:
            return tensor in _read_by(user)
        if tensor in carried(user):
            return self.is_wanted(user)
        return is_global_mean(user) or window_of(user) is not None

    def _emit(self, node: fx.Node) -> _Value:
        if node in self.fusions:
            return self._emit_fusion(self.fusions[node])
        if node.op == "call_function" and self._has_integers(node):
            if carried(node) and self.is_wanted(node) and not self._is_attention(node):
                scale = self._scale(node)
                return _Value(
                    integers=emit_carrier(node, scale, self._call, self.integers, self._rest)
                )
            if is_global_mean(node):
                scale = self._scale(node.args[0])
                kept = keeps_dimensions(node)
                q_x = self.integers(node.args[0])
                return _Value(self._call(ops.mean, q_x, scale.scale, scale.zero_point, kept))
            window = window_of(node)
            if window is not None:
                return self._emit_window(node, window)
        return _Value(self._copy(node))

    def _is_attention(self, node: fx.Node) -> bool:
        """Whether the numbers of ``node`` come from torch's fused attention.

        It lays its result out as the transpose that follows wants it: moving floats costs nothing there,
        while rounding first would copy them twice.
        """
        return self.scales.source(node).target is aten.scaled_dot_product_attention.default

    def _has_integers(self, node: fx.Node) -> bool:
        """Whether what a node reads is there in integers, or would be for others anyway."""
        read = carried(node) or tuple(one for one in node.args[:1] if isinstance(one, fx.Node))
        return bool(read) and all(self.is_wanted(one) for one in read)

    def _emit_fusion(self, fusion: Fusion) -> _Value:
        out = self._scale(fusion.tail) if self.is_wanted(fusion.tail) else None
        emit: Callable[[Fusion, Scale | None], fx.Node] = {
            "conv": self._emit_conv,
            "linear": self._emit_linear,
            "add": self._emit_add,
        }[fusion.kind]
        result = emit(fusion, out)
        return _Value(integers=result) if out else _Value(result)

    def _emit_conv(self, fusion: Fusion, out: Scale | None) -> fx.Node:
        node, image = fusion.node, fusion.node.args[0]
        x, x_scale, x_zero_point = self._input(node)
        size = input_size(image)
        geometry = geometry_of(node, node.args[1].meta["val"])
        assert geometry is not None  # kind_of would have refused the node
        if explicit_padding(x_zero_point, geometry, node.args[1].meta["val"], image):
            x, size, geometry = self._pad(x, size, geometry, x_zero_point)
        epilogue = fusion.epilogue.into(out)
        other = None if fusion.other is None else self._scale(fusion.other)
        zeros = zeros_of(
            Scale(x_scale, x_zero_point),
            any(geometry[1]),
            other,
            out,
            fusion.relu or epilogue is not NONE,
        )
        weight = self.weights.quantized(node, self.decisions[node.name].weight, zeros)
        convolution = (x, x_scale, zeros.x, *weight, *geometry)
        if other is None:
            ending = (out and out.scale, zeros.out, epilogue.post, list(epilogue.arguments))
            return self._call(ops.conv, *convolution, *ending, size=size)
        assert out is not None and fusion.other is not None  # or it would not have been fused
        addend = (self._operand(node, fusion.other), other.scale, zeros.other)
        summed = self._call(
            ops.conv_add, *convolution, *addend, out.scale, zeros.out, fusion.relu, size=size
        )
        # the convolution's own result, which observers may ask for, and what the bias has more than it
        name = node.meta.get("inc_name", node.name)
        summed.meta["inc_absorbed"] = [name, zeros.plus]
        return summed

    def _pad(
        self, x: fx.Node, size: list[int] | None, geometry: Geometry, zero_point: int
    ) -> tuple[fx.Node, list[int] | None, Geometry]:
        """Pad the input of a convolution with its zero point, in an op of its own."""
        stride, padding, dilation, groups = geometry
        sides = [side for one in reversed(padding) for side in (one, one)]
        if size is not None:
            spatial = [one + 2 * more for one, more in zip(size[2:], padding, strict=True)]
            size = [*size[:2], *spatial]
        padded = self._call(ops.pad, x, sides, zero_point)
        return padded, size, (stride, [0] * len(padding), dilation, groups)

    def _emit_linear(self, fusion: Fusion, out: Scale | None) -> fx.Node:
        x = self._input(fusion.node)
        weight = self.weights.quantized(fusion.node, self.decisions[fusion.node.name].weight)
        if fusion.other is not None:
            summed = self._call(ops.linear_add, *x, *weight, self.real(fusion.other))
            return summed if out is None else self._quantize(summed, out)
        return self._call(ops.linear, *x, *weight, *_ending(fusion, out))

    def _emit_add(self, fusion: Fusion, out: Scale | None) -> fx.Node:
        operands: list[Any] = []
        for one in fusion.node.args:
            scale = self._scale(one, fusion.node)
            operands += [self._operand(fusion.node, one), scale.scale, scale.zero_point]
        ending = (None, 0) if out is None else (out.scale, out.zero_point)
        return self._call(ops.add, *operands, *ending, fusion.relu)

    def _emit_window(self, node: fx.Node, window: Window) -> _Value:
        x, size = self._input(node), input_size(node.args[0])
        assert size is not None  # window_of would have refused the node
        weight = self.weights.averaging(size[1], window.kernel)
        out = self._scale(node) if self.is_wanted(node) else None
        ending = (None, 0) if out is None else (out.scale, out.zero_point)
        geometry = (list(window.stride), list(window.padding), [1, 1], size[1])
        result = self._call(ops.conv, *x, *weight, *geometry, *ending, size=size)
        return _Value(integers=result) if out else _Value(result)

    def _input(self, node: fx.Node) -> tuple[fx.Node, float, int]:
        scale = self._scale(node.args[0], node)
        return self._operand(node, node.args[0]), scale.scale, scale.zero_point

    def _operand(self, reader: fx.Node, tensor: fx.Node) -> fx.Node:
        self._scale(tensor, reader)
        return self.integers(tensor)

    def _scale(self, tensor: fx.Node, reader: fx.Node | None = None) -> Scale:
        scale = self.scales.get(tensor)
        if scale is None:
            source = ", ".join(map(repr, self.scales.producers(tensor)))
            raise QuantizationError(
                f"{(reader or tensor).name!r} is to run in static int8, but no quantization of the tensor"
                f" {source} that it reads was given. Calibrate the tensors that tensors_of() names."
            )
        return scale

    def integers(self, tensor: fx.Node) -> Any:
        """Return a tensor in u8: as its op gave it, or rounded, once for all readers."""
        if tensor.op == "get_attr" and tensor not in self.values:
            self.values[tensor] = _Value(self.weights.plain(tensor))
        value = self.values[tensor]
        if value.integers is None:
            value.integers = self._quantize(value.real, self._scale(tensor), tensor)
        return value.integers

    def real(self, tensor: fx.Node) -> Any:
        """Return a tensor in float."""
        if tensor.op == "get_attr":
            return self.weights.plain(tensor)
        value = self.values[tensor]
        if value.real is None:
            scale = self._scale(tensor)
            value.real = self._call(ops.dequantize, value.integers, scale.scale, scale.zero_point)
        return value.real

    def _quantize(self, real: fx.Node, scale: Scale, tensor: fx.Node | None = None) -> fx.Node:
        image = tensor is not None and _feeds_conv2d(tensor, self.decisions)
        return self._call(ops.quantize, real, scale.scale, scale.zero_point, image)

    def _copy(self, node: fx.Node) -> fx.Node:
        shape_of = reads_shape_only(node) and self.values[node.args[0]].real is None
        read = self.integers if shape_of else self.real
        new = self.graph.node_copy(node, read)
        if new.target in (aten.view.default, aten._unsafe_view.default):
            new.target = aten.reshape.default  # convolutions give channels-last memory
        return new

    def _rest(self, argument: Any) -> Any:
        return fx.map_arg(argument, self.real)

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(function, args, kwargs)

    def _modules(self) -> dict[str, Any]:
        called = [node.target for node in self.graph.nodes if node.op == "call_module"]
        return {target: self.module.get_submodule(target) for target in called}


def _ending(fusion: Fusion, out: Scale | None) -> tuple[Any, ...]:
    epilogue = fusion.epilogue.into(out)
    scale, zero_point = (None, 0) if out is None else (out.scale, out.zero_point)
    return scale, zero_point, epilogue.post, list(epilogue.arguments), epilogue.algorithm


def _feeds_conv2d(tensor: fx.Node, decisions: Mapping[str, StaticConfig]) -> bool:
    return any(user.name in decisions and is_conv2d(user) for user in tensor.users)
