"""Shape arithmetic that exporters leave in a graph, written as the constants that it always gives.

With a dynamic batch, exporters compute the target of every ``Reshape`` from the shapes of other tensors,
and even the scale of attention from the length of its vectors: a dozen small ops per attention layer,
each of which costs a few microseconds, and a scale that the runtime cannot merge into the matrix product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import NodeProto, numpy_helper

from inc_onnx.graph import Dim, Graph

__all__ = ["remove_unread", "settle_shapes"]

Array = np.ndarray[Any, Any]

_COPY, _REST = 0, -1


def settle_shapes(graph: Graph) -> bool:
    """Write what is known of shapes as constants, in place; return whether anything changed."""
    changed = False
    for node in list(graph.nodes):
        if node.op_type == "Reshape":
            changed |= _settle_reshape(graph, node)
        elif node.op_type == "Shape" and not node.attribute:
            changed |= _settle_shape(graph, node)
    return remove_unread(graph) or changed


def remove_unread(graph: Graph) -> bool:
    """Remove every node that nothing reads; return whether there was one."""
    found = False
    for node in reversed(graph.nodes[:]):
        read = any(graph.consumers(name) or name in graph.outputs for name in node.output if name)
        if not read:
            graph.remove(node)
            found = True
    return found


def _settle_reshape(graph: Graph, node: NodeProto) -> bool:
    """Give a ``Reshape`` a constant target: numbers, copies of input dimensions, and one rest."""
    if graph.is_constant(node.input[1]) or graph.attribute(node, "allowzero", 0):
        return False
    before, after = graph.dims(node.input[0]), graph.dims(node.output[0])
    if before is None or after is None:
        return False
    target = _target(before, after)
    if target is None:
        return False
    name = graph.add_constant(f"{node.name}_target", np.array(target, np.int64))
    graph.set_inputs(node, [node.input[0], name])
    return True


def _target(before: tuple[Dim, ...], after: tuple[Dim, ...]) -> list[int] | None:
    """Return the target of a ``Reshape``; ``None`` where more than one dimension stays unknown."""
    target = []
    for position, dim in enumerate(after):
        if isinstance(dim, int) and dim > 0:
            target.append(dim)
        elif isinstance(dim, str) and before[position : position + 1] == (dim,):
            target.append(_COPY)
        else:
            target.append(_REST)
    return target if target.count(_REST) <= 1 and 0 not in after else None


def _settle_shape(graph: Graph, node: NodeProto) -> bool:
    """Replace a ``Shape``, or what picks known dimensions from it, by constants."""
    dims = graph.dims(node.input[0])
    if dims is None:
        return False
    if _is_known(dims):
        return _replace(graph, node, np.array(dims, np.int64))
    readers = graph.consumers(node.output[0])
    return any([_settle_pick(graph, reader, dims) for reader in readers])


def _settle_pick(graph: Graph, node: NodeProto, dims: tuple[Dim, ...]) -> bool:
    """Replace a ``Gather`` or ``Slice`` of known dimensions by its result."""
    places = _picked(graph, node, np.arange(len(dims)))
    if places is None:
        return False
    values = [dims[place] for place in places.reshape(-1)]
    if not _is_known(values):
        return False
    return _replace(graph, node, np.array(values, np.int64).reshape(places.shape))


def _picked(graph: Graph, node: NodeProto, places: Array) -> Array | None:
    """Return which dimensions a node picks; ``None`` if that is not constant or it is another op."""
    constants = [graph.constant(name) for name in node.input[1:] if name]
    arguments = [constant for constant in constants if constant is not None]
    if len(arguments) < len(constants):
        return None
    if node.op_type == "Gather" and np.all(np.abs(arguments[0]) < len(places)):
        return np.take(places, arguments[0])
    if node.op_type == "Slice" and len(arguments) >= 2:  # before opset 10 they were attributes
        start, stop = (int(argument[0]) for argument in arguments[:2])
        step = int(arguments[3][0]) if len(arguments) > 3 else 1
        return places[start:stop:step]
    return None


def _is_known(dims: tuple[Dim, ...] | list[Dim]) -> bool:
    return all(isinstance(dim, int) for dim in dims)


def _replace(graph: Graph, node: NodeProto, value: Array) -> bool:
    output = node.output[0]
    if output in graph.outputs:
        return False
    graph.remove(node)
    graph.adopt_constant(output, numpy_helper.from_array(value, output))
    return True
