"""``record``: a plain module's graph, from two runs of its own code at different sizes.

What both runs do alike is the graph. Numbers in which they differ follow the open sizes of the inputs, or the
module is not plain. Nothing is computed: the runs are on tensors without data.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from inc_torch.leaves import shared_module
from inc_torch.recording.functions import FUNCTIONS
from inc_torch.recording.sizes import Sizes, two_sizes
from inc_torch.recording.tape import Call, NotPlainError, Ref, State, Tape, run
from inc_torch.signature import InputInfo, Signature, flatten_outputs, nest_of
from inc_torch.static.graphs import Draft

__all__ = ["record"]

aten = torch.ops.aten
# samples, channels, height and width at least; tensors of fewer may be sequences of features
_IMAGE_DIMENSIONS = 4
# Added to sizes that are twice the traced ones: padding and windows often follow the remainder of a size by
# 2, 4, up to 32, before or after layers that halve it.
_UNEVEN = (1, 59)


def record(
    module: nn.Module, inputs: Mapping[str, Tensor], open_dimensions: Mapping[str, Collection[int]]
) -> tuple[Draft, Signature]:
    """Return a graph of torch's operators with named modules and known shapes, and what it takes.

    Args:
        module: In evaluation mode; not changed, its tensors are shared.
        inputs: One batch of two or more by name, in the order of ``forward``.
        open_dimensions: By name of the input, those that may have any size.

    Raises:
        NotPlainError: If the module's code does anything but call known functions, the same for every size.
    """
    copied = shared_module(module)

    def call(shapes: Mapping[str, Sequence[int]]) -> Tape:
        given = {
            name: torch.empty(shape, dtype=inputs[name].dtype, device="meta")
            for name, shape in shapes.items()
        }
        return run(copied, given, FUNCTIONS)

    shapes = {name: tuple(tensor.shape) for name, tensor in inputs.items()}
    first, second, sizes = two_sizes(call, shapes, open_dimensions)
    writer = _Writer(first, list(inputs), sizes)
    for one, other in _pairs(first, second):
        writer.write(one, other)
    graph, nest = writer.finish(second)
    untied = _untied(call, first, inputs)
    infos = tuple(
        InputInfo(
            name,
            str(tensor.dtype).removeprefix("torch."),
            sizes.shape(name, tensor.shape),
            untied.get(name, ()),
        )
        for name, tensor in inputs.items()
    )
    return graph, Signature(infos, nest)


def _untied(
    call: Callable[[Mapping[str, Sequence[int]]], Tape], tape: Tape, inputs: Mapping[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    """Return the dimensions of images, by name, that may be larger without another call or number."""
    images = {
        name: tuple(range(2, tensor.dim()))
        for name, tensor in inputs.items()
        if tensor.is_floating_point() and tensor.dim() >= _IMAGE_DIMENSIONS
    }

    def agrees(more: int, if_refused: bool) -> bool:
        shapes = {
            name: [
                2 * size + more if dim in images.get(name, ()) else size
                for dim, size in enumerate(tensor.shape)
            ]
            for name, tensor in inputs.items()
        }
        try:
            return _do_the_same(tape, call(shapes))
        except NotPlainError:
            return False
        except (
            RuntimeError
        ):  # the module's own: a net that halves and joins again takes no odd sizes
            return if_refused

    if not images or not agrees(0, if_refused=False):
        return {}
    return images if all(agrees(more, if_refused=True) for more in _UNEVEN) else {}


def _do_the_same(one: Tape, other: Tape) -> bool:
    outputs = [[tape.name(x) for x in flatten_outputs(tape.outputs)] for tape in (one, other)]
    return one.calls == other.calls and outputs[0] == outputs[1]


def _pairs(first: Tape, second: Tape) -> list[tuple[Call, Call]]:
    if len(first.calls) != len(second.calls):
        raise NotPlainError("its code does more at one size than at another")
    return list(zip(first.calls, second.calls, strict=True))


class _Writer:
    """Writes what two runs have in common."""

    def __init__(self, tape: Tape, names: Sequence[str], sizes: Sizes) -> None:
        self._tape, self._sizes = tape, sizes
        self._graph = fx.Graph()
        self._nodes: dict[Ref | State, fx.Node] = {}
        self._sized: dict[tuple[str, int], fx.Node] = {}
        self._inputs = {name: self._graph.placeholder(name) for name in names}
        for number, node in enumerate(self._inputs.values()):
            self._nodes[Ref(number)] = node
            node.meta["val"] = tape.tensors[number]

    def write(self, one: Call, other: Call) -> None:
        """Write a call that both runs made."""
        if (one.target, one.results, one.kwargs) != (other.target, other.results, other.kwargs):
            raise NotPlainError("its code does one thing at one size and another at another")
        name = one.target._schema.name.partition("::")[2]
        args, kwargs = self._merged(one.args, other.args), self._merged_names(one.kwargs)
        node = self._graph.create_node("call_function", one.target, args, kwargs, name)
        path, owner = one.module
        stack = {path: (path, f"{owner.__module__}.{owner.__qualname__}")}
        returned = one.target._schema.returns
        is_several = len(returned) != 1 or isinstance(returned[0].type, torch.ListType)
        node.meta["nn_module_stack"] = stack
        if not is_several:
            self._give(node, one.results[0])
            return
        node.meta["val"] = [self._tape.tensors[number] for number in one.results]
        for place, number in enumerate(one.results):
            item = self._graph.call_function(operator.getitem, (node, place))
            item.meta["nn_module_stack"] = stack
            self._give(item, number)

    def finish(self, other: Tape) -> tuple[Draft, Any]:
        """Return the graph, and how its outputs are nested."""
        nest = nest_of(self._tape.outputs)
        outputs = [
            [tape.name(one) for one in flatten_outputs(tape.outputs)]
            for tape in (self._tape, other)
        ]
        if nest != nest_of(other.outputs) or outputs[0] != outputs[1]:
            raise NotPlainError("its code returns one thing at one size and another at another")
        self._graph.output(tuple(self._node(one) for one in outputs[0]))
        draft = Draft(dict(self._tape.state), self._graph)
        draft.eval()
        return draft, nest

    def _give(self, node: fx.Node, number: int) -> None:
        """Note which node stands for a tensor: the latest, where it was written over."""
        node.meta["val"] = self._tape.tensors[number]
        self._nodes[Ref(number)] = node

    def _node(self, name: Ref | State) -> fx.Node:
        if name not in self._nodes:
            assert isinstance(name, State)  # what was computed is there
            self._nodes[name] = self._graph.get_attr(name.path)
        return self._nodes[name]

    def _merged(self, one: Any, other: Any) -> Any:
        if isinstance(one, (list, tuple)):
            if not isinstance(other, type(one)) or len(one) != len(other):
                raise NotPlainError("an argument has more parts at one size than at another")
            return type(one)(self._merged(a, b) for a, b in zip(one, other, strict=True))
        if one == other and type(one) is type(other):
            return self._node(one) if isinstance(one, (Ref, State)) else one
        if type(one) is int and type(other) is int:
            return self._size(one, other)
        raise NotPlainError("a number depends on a size")

    def _merged_names(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: self._node(value) if isinstance(value, (Ref, State)) else value
            for name, value in kwargs.items()
        }

    def _size(self, one: int, other: int) -> Any:
        """Return the node of a size, or of a multiple of one."""
        name, dim, factor = self._sizes.source(one, other)
        if (name, dim) not in self._sized:
            with self._graph.inserting_after(self._inputs[name]):
                node = self._graph.call_function(aten.sym_size.int, (self._inputs[name], dim))
            node.meta["val"] = one // factor
            self._sized[name, dim] = node
        size = self._sized[name, dim]
        if factor == 1:
            return size
        multiple = self._graph.call_function(operator.mul, (size, factor))
        multiple.meta["val"] = one
        return multiple
