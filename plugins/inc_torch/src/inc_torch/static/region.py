"""Chains of convolutions as one call: the eager form of a lowered graph.

A Python call of ``onednn.qconv2d_pointwise`` costs 34 us before any arithmetic, most of it for making a
oneDNN primitive anew. torch's older packed convolutions keep theirs: run by TorchScript they cost 9 us. On
ResNet-50 at batch 1 that is a tenth of the whole time (one core, AVX512-VNNI, 2026-11-25). They compute
the same integers, with the same oneDNN kernels.

A region is a set of ops between which everything stays in TorchScript: no path leaves it and comes back.
"""

from __future__ import annotations

import contextlib
import itertools
import linecache
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from inc_torch.static import ops
from inc_torch.static.graphs import Draft, copy_graph, named_arguments
from inc_torch.static.prepare import attribute
from inc_torch.static.rounding import to_channels_last

__all__ = ["Region", "with_regions"]

# below that a region's own cost, about that of a call, is not won back
MIN_CONVOLUTIONS = 2

_numbers = itertools.count()


def with_regions(module: fx.GraphModule) -> Draft:
    """Return a lowered graph, to be packed, in which every region is a call of a ``Region``."""
    result = copy_graph(module)
    for number, members in enumerate(find_regions(result.graph)):
        convolutions = sum(node.target in (ops.conv, ops.conv_add) for node in members)
        if convolutions >= MIN_CONVOLUTIONS:
            _replace(result, members, f"_region_{number}")
    result.graph.eliminate_dead_code()
    return result


def find_regions(graph: fx.Graph) -> list[list[fx.Node]]:
    """Return sets of nodes, each in execution order, that can be one call each.

    What a region reads from outside must be there before its first node: the call stands in the place of
    that node.
    """
    order = {node: number for number, node in enumerate(graph.nodes)}
    region_of: dict[fx.Node, list[fx.Node]] = {}
    regions: list[list[fx.Node]] = []
    for node in graph.nodes:
        if not _fits(node):
            continue
        read = [one for one in node.all_input_nodes if one.op != "get_attr"]
        region = next((region_of[one] for one in reversed(read) if one in region_of), None)
        if region is None or any(
            region_of.get(one) is not region and order[one] > order[region[0]] for one in read
        ):
            region = []
            regions.append(region)
        region.append(node)
        region_of[node] = region
    return regions


class Region(nn.Module):
    """Runs a TorchScript module and hands out plain u8 tensors.

    Args:
        script: Returns a tuple of tensors, quantized or float.
        adds: Whether it uses fused additions, which torch allows under its ``onednn`` engine only.
    """

    def __init__(self, script: torch.jit.ScriptModule, adds: bool) -> None:
        super().__init__()
        self.script, self.adds = script, adds

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what leaves the region: u8, or float32 for a mean."""
        # TorchScript would spend 40 ms of the first two calls on looking for what it could fuse: nothing
        engine = _engine("onednn") if self.adds else contextlib.nullcontext()
        with torch.jit.optimized_execution(False), engine:
            results = self.script(*inputs)
        return tuple(_integers(one) if one.is_quantized else one for one in results)


@dataclass
class _Writer:
    """TorchScript source of a region, line by line, and the packed weights that it names."""

    module: fx.GraphModule
    members: set[fx.Node]
    lines: list[str] = field(default_factory=list)
    packed: dict[str, Any] = field(default_factory=dict)
    names: dict[fx.Node, str] = field(default_factory=dict)
    # scale and zero point that the quantized tensor of a name carries
    labels: dict[fx.Node, tuple[float, int]] = field(default_factory=dict)
    inputs: list[fx.Node] = field(default_factory=list)
    adds: bool = False

    def take(self, node: fx.Node, scale: float, zero_point: int) -> str:
        """Return the name of a quantized tensor that carries ``scale`` and ``zero_point``.

        They may differ from those it has: biases take over zero points, so the same integers are read
        as with and as without one.
        """
        if node not in self.names:
            name = self.labelled(self.input(node), scale, zero_point)
            self.give(node, name, scale, zero_point)
        if self.labels[node] == (scale, zero_point):
            return self.names[node]
        return self.labelled(f"{self.names[node]}.int_repr()", scale, zero_point)

    def as_it_is(self, node: fx.Node) -> str:
        """Return the name of a quantized tensor whose scale does not matter."""
        return self.take(node, *self.labels.get(node, (1.0, 0)))

    def give(self, node: fx.Node, name: str, scale: float, zero_point: int) -> None:
        """Note under which name, and with which scale, the result of a node is found."""
        self.names[node], self.labels[node] = name, (scale, zero_point)

    def input(self, node: fx.Node) -> str:
        """Return the name of the argument for a tensor from outside."""
        if node not in self.inputs:
            self.inputs.append(node)
        return f"argument_{self.inputs.index(node)}"

    def assign(self, expression: str) -> str:
        """Write a line, and return the new name."""
        name = f"x{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        return name

    def pack(self, given: Mapping[str, Any]) -> str:
        """Pack a convolution's weight, and return the expression for it."""
        name = f"packed_{len(self.packed)}"
        self.packed[name] = _pack(self.module, given)
        return f"self.{name}"

    def is_last_reader(self, reader: fx.Node, tensor: fx.Node) -> bool:
        """Whether ``reader``, which is being written, may write over a tensor."""
        others = set(tensor.users) - {reader}
        return others <= self.members and all(one in self.names for one in others)

    def labelled(self, integers: str, scale: float, zero_point: int) -> str:
        """Write a line that makes a quantized tensor of a plain u8 one."""
        return self.assign(
            f"torch._make_per_tensor_quantized_tensor({integers}, {scale!r}, {zero_point})"
        )


def _fits(node: fx.Node) -> bool:
    if node.target is ops.conv:
        given = named_arguments(node)
        plain = given["post"] in ("none", "relu") and given["out_scale"] is not None
        return plain and len(given["stride"]) == 2
    return node.op == "call_function" and node.target in _WRITERS


def _replace(module: fx.GraphModule, members: Sequence[fx.Node], name: str) -> None:
    """Put a call of a region in the place of its nodes."""
    writer = _Writer(module, set(members))
    for node in members:
        _WRITERS[node.target](writer, node, named_arguments(node))
    leaving = [node for node in members if set(node.users) - writer.members]
    writer.lines.append(f"return ({', '.join(writer.names[node] for node in leaving)},)")
    module.add_module(name, Region(_script(writer), writer.adds))
    with module.graph.inserting_before(members[0]):
        call = module.graph.call_module(name, tuple(writer.inputs))
        results = [
            module.graph.call_function(operator.getitem, (call, i)) for i in range(len(leaving))
        ]
    for node, result in zip(leaving, results, strict=True):
        node.replace_all_uses_with(result, lambda user: user not in writer.members)
    for node in reversed(members):
        module.graph.erase_node(node)


def _write_quantize(writer: _Writer, node: fx.Node, given: Mapping[str, Any]) -> None:
    source = writer.names.get(given["x"]) or writer.input(given["x"])
    scale, zero_point = given["scale"], given["zero_point"]
    name = writer.assign(f"torch.ops.inc.quantize({source}, {scale!r}, {zero_point}, False)")
    if given["channels_last"]:
        name = writer.assign(f"to_channels_last({name})")
    writer.give(node, writer.labelled(name, scale, zero_point), scale, zero_point)


def _write_conv(writer: _Writer, node: fx.Node, given: Mapping[str, Any]) -> None:
    x = writer.take(given["q_x"], given["x_scale"], given["x_zero_point"])
    function = "conv2d_relu" if given["post"] == "relu" else "conv2d"
    out = (given["out_scale"], given["out_zero_point"])
    weight = writer.pack(given)
    name = writer.assign(f"torch.ops.quantized.{function}({x}, {weight}, {out[0]!r}, {out[1]})")
    writer.give(node, name, *out)


def _write_conv_add(writer: _Writer, node: fx.Node, given: Mapping[str, Any]) -> None:
    x = writer.take(given["q_x"], given["x_scale"], given["x_zero_point"])
    other = writer.take(given["q_other"], given["other_scale"], given["other_zero_point"])
    if given["q_other"] is given["q_x"] or not writer.is_last_reader(node, given["q_other"]):
        other = writer.assign(f"{other}.clone()")  # the op writes its result over this argument
    function = "conv2d_add_relu" if given["relu"] else "conv2d_add"
    out = (given["out_scale"], given["out_zero_point"])
    arguments = f"{x}, {other}, {writer.pack(given)}, {out[0]!r}, {out[1]}"
    writer.give(node, writer.assign(f"torch.ops.quantized.{function}({arguments})"), *out)
    writer.adds = True


def _write_max_pool2d(writer: _Writer, node: fx.Node, given: Mapping[str, Any]) -> None:
    # the largest integer is the same under any scale
    x = writer.as_it_is(given["q_x"])
    numbers = ", ".join(
        str(list(given[name])) for name in ("kernel", "stride", "padding", "dilation")
    )
    name = writer.assign(f"torch.ops.quantized.max_pool2d({x}, {numbers}, {given['ceil_mode']})")
    writer.give(node, name, *writer.labels[given["q_x"]])


def _write_mean(writer: _Writer, node: fx.Node, given: Mapping[str, Any]) -> None:
    x = writer.as_it_is(given["q_x"])
    scale, zero_point, kept = given["scale"], given["zero_point"], given["keep_dimensions"]
    places = writer.assign(f"{x}.size(2) * {x}.size(3)")
    total = writer.assign(f"torch.sum({x}.int_repr(), [2, 3], keepdim={kept}, dtype=torch.int32)")
    writer.names[node] = writer.assign(
        f"({total} - {zero_point} * {places}) * ({scale!r} / {places})"
    )


_WRITERS: Mapping[Any, Callable[[_Writer, fx.Node, Mapping[str, Any]], None]] = {
    ops.quantize: _write_quantize,
    ops.conv: _write_conv,
    ops.conv_add: _write_conv_add,
    ops.max_pool2d: _write_max_pool2d,
    ops.mean: _write_mean,
}


def _pack(module: fx.GraphModule, given: Mapping[str, Any]) -> Any:
    """Pack a convolution's weight as torch's own quantized modules do."""
    q_weight, w_scale = (attribute(module, given[name].target) for name in ("q_weight", "w_scale"))
    bias = given["bias"] and attribute(module, given["bias"].target)
    zero_points = torch.zeros(len(w_scale), dtype=torch.int64)
    with _engine("onednn"), warnings.catch_warnings():
        # tensors that carry their scale are to go in a later torch; this plugin allows 2.13 only
        warnings.filterwarnings("ignore", message=".*quantized tensor creation functions")
        weight = torch._make_per_channel_quantized_tensor(
            q_weight, w_scale.double(), zero_points, 0
        )
        geometry = [given[name] for name in ("stride", "padding", "dilation", "groups")]
        return torch.ops.quantized.conv2d_prepack(weight, bias, *geometry)


def _script(writer: _Writer) -> torch.jit.ScriptModule:
    """Compile the source of a region."""
    arguments = ", ".join(["self", *(f"argument_{i}: Tensor" for i in range(len(writer.inputs)))])
    lines = [f"def forward({arguments}):", *(f"    {line}" for line in writer.lines)]
    source = "\n".join(lines) + "\n"
    # TorchScript reads the source of a function from where Python's tracebacks do
    filename = f"<inc_torch region {next(_numbers)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    scope: dict[str, Any] = {"torch": torch, "Tensor": Tensor, "to_channels_last": to_channels_last}
    exec(compile(source, filename, "exec"), scope)
    module = type("RegionSource", (nn.Module,), {"forward": scope["forward"]})().eval()
    for name, packed in writer.packed.items():
        setattr(module, name, packed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit")
        return torch.jit.freeze(torch.jit.script(module))


@contextlib.contextmanager
def _engine(name: str) -> Iterator[None]:
    """Switch torch's engine for quantized ops."""
    previous = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = previous


def _integers(quantized: Tensor) -> Tensor:
    """Return the integers of a quantized tensor without copying them, which costs 0.1 ms a megabyte."""
    storage, offset = quantized.untyped_storage(), quantized.storage_offset()
    plain = torch.empty(0, dtype=torch.uint8)
    return plain.set_(storage, offset, quantized.size(), quantized.stride())
