"""Statistics of many layers' inputs in one pass over a graph, with little more memory than one layer's.

The graph is cut before each layer that is asked for. Segment after segment runs on every batch; what
later segments still need is kept, in a temporary file where it is large. So each operator runs once per
batch, and the second moments of one layer are held at a time::

    batch 1  ──[segment 1]── x1 ──[segment 2]── ...
    batch 2  ──[segment 1]── x2 ──[segment 2]── ...
                             │
                             └─ moments of x1, x2 ──► sink(layer)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from inc_torch.static.prepare import attribute
from inc_torch.weight_only.statistics import InputStatistics, Moments

__all__ = ["Sink", "stream_statistics"]

Sink = Callable[[fx.Node, InputStatistics], None]

# What lives between segments, for all batches, stays in memory up to this size: 128 samples of 2,048
# tokens of width 4,096 are 4 GB, and must not add to a model that barely fits.
KEPT_IN_MEMORY = 512 * 2**20


@torch.no_grad()
def stream_statistics(
    graph: fx.GraphModule,
    layers: Sequence[fx.Node],
    batches: Sequence[Sequence[Tensor]],
    sink: Sink,
) -> None:
    """Hand the statistics of each layer's inputs to ``sink``, in the graph's order.

    Args:
        graph: Flat tensors in; it is run node by node, not changed.
        layers: Nodes whose first argument is the input ``(..., K)``.
        batches: Inputs in the order of the placeholders, one sequence per batch.
        sink: Called once per layer; layers with the same input share its statistics.
    """
    wanted: dict[fx.Node, list[fx.Node]] = {}
    for layer in layers:
        source = layer.args[0]
        assert isinstance(source, fx.Node)  # a layer's input is a tensor
        wanted.setdefault(source, []).append(layer)
    with tempfile.TemporaryDirectory(prefix="inc-") as folder:
        kept = _Kept(Path(folder), len(batches))
        for segment in _segments(graph, wanted.keys()):
            for number, inputs in enumerate(batches):
                _run(graph, segment, kept, number, inputs)
            if segment.ends_with in wanted:
                moments = _moments(kept.all(segment.ends_with))
                for layer in wanted[segment.ends_with]:
                    sink(layer, moments)
            kept.drop(segment.last_needed)


class _Segment:
    """Some nodes in a row, and which values cross its borders.

    Attributes:
        nodes: In execution order.
        ends_with: The last node.
        outgoing: Nodes of this segment that later ones read, or that are asked for.
        last_needed: Kept values that no later segment reads.
    """

    def __init__(self, nodes: Sequence[fx.Node]) -> None:
        self.nodes = tuple(nodes)
        self.ends_with = nodes[-1]
        self.outgoing: set[fx.Node] = set()
        self.last_needed: set[fx.Node] = set()


def _segments(graph: fx.GraphModule, ends: Collection[fx.Node]) -> list[_Segment]:
    """Cut the graph behind each node of ``ends``; what follows the last one is left out."""
    segments, nodes = [], []
    for node in graph.graph.nodes:
        nodes.append(node)
        if node in ends:
            segments.append(_Segment(nodes))
            nodes = []
    home = {node: index for index, one in enumerate(segments) for node in one.nodes}
    for node, index in home.items():
        readers = [home[user] for user in node.users if user in home]
        last = max(readers, default=index)
        if last > index or node in ends:
            segments[index].outgoing.add(node)
            segments[last].last_needed.add(node)
    return segments


def _run(
    graph: fx.GraphModule, segment: _Segment, kept: _Kept, number: int, inputs: Sequence[Tensor]
) -> None:
    values: dict[fx.Node, Any] = {}
    placeholders = iter(inputs)
    left = {node: sum(user in segment.nodes for user in node.users) for node in segment.nodes}

    def value_of(node: fx.Node) -> Any:
        return values[node] if node in values else kept.get(node, number)

    for node in segment.nodes:
        if node.op == "placeholder":
            values[node] = next(placeholders)
        elif node.op == "get_attr":
            values[node] = attribute(graph, str(node.target))
        elif node.op == "call_function":
            args, kwargs = map_arg((node.args, dict(node.kwargs)), value_of)
            values[node] = node.target(*args, **kwargs)
        else:
            raise AssertionError(f"a captured graph has no {node.op!r}")
        if node in segment.outgoing:
            kept.put(node, number, values[node])
        for used in node.all_input_nodes:
            if used in left:
                left[used] -= 1
                if not left[used]:
                    values.pop(used, None)


def _moments(inputs: Iterator[Tensor]) -> InputStatistics:
    first = next(inputs)
    moments = Moments(first.shape[-1])
    moments.add(first)
    for batch in inputs:
        moments.add(batch)
    return moments.statistics()


class _Kept:
    """Values that cross borders of segments, by node and batch; large ones lie in files.

    Args:
        folder: For files.
        batches: How many there are.
    """

    def __init__(self, folder: Path, batches: int) -> None:
        self._folder = folder
        self._batches = batches
        self._values: dict[fx.Node, dict[int, Any]] = {}
        self._files: dict[tuple[fx.Node, int], Path] = {}
        self._size = 0
        self._count = 0

    def put(self, node: fx.Node, number: int, value: Any) -> None:
        if isinstance(value, Tensor) and node.op == "call_function":
            # a file only where it is a batch's own: constants are the model's
            value = self._stored(node, number, value)
        self._values.setdefault(node, {})[number] = value

    def get(self, node: fx.Node, number: int) -> Any:
        return self._values[node][number]

    def all(self, node: fx.Node) -> Iterator[Any]:
        return (self._values[node][number] for number in range(self._batches))

    def drop(self, nodes: set[fx.Node]) -> None:
        for node in nodes:
            for number, value in self._values.pop(node, {}).items():
                path = self._files.pop((node, number), None)
                if path is not None:
                    path.unlink()
                elif isinstance(value, Tensor) and node.op == "call_function":
                    self._size -= value.numel() * value.element_size()

    def _stored(self, node: fx.Node, number: int, value: Tensor) -> Tensor:
        size = value.numel() * value.element_size()
        if self._size + size <= KEPT_IN_MEMORY:
            self._size += size
            return value
        self._count += 1
        path = self._files[node, number] = self._folder / f"{self._count}.bin"
        mapped = torch.from_file(str(path), shared=True, size=value.numel(), dtype=value.dtype)
        return mapped.view(value.shape).copy_(value)
