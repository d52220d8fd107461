"""Rewriting of transformers at float level, into the forms that ONNX Runtime computes fastest.

All rewrites keep the function. They are made before anything is decided, so that an op keeps its name
and its config in whatever recipe. Measured with ONNX Runtime 1.32 on one core (AVX512-VNNI),
``benchmarks/onnx_speed.py``, BERT-base at sequence 128:

* A residual ``Add`` before a normalization becomes ``Sum``. ONNX Runtime fuses ``Add`` with the
  ``LayerNormalization`` behind it into ``SkipLayerNormalization``, which takes 403 us for 128 x 768
  numbers, where ``Add`` and ``LayerNormalization`` apart take 46. ``Sum`` is not fused. In a model of
  int8 matrix products that is a fifth of all time.
* The exporters' ``x * 0.5 * (1 + erf(x / sqrt(2)))`` becomes one ``Gelu``. ONNX Runtime does the same,
  but no longer once a neighbour is quantized.
* ``Where(mask, -inf, scores)`` before a ``Softmax`` becomes ``scores + Where(mask, -inf, 0)``, equal for
  finite scores: ``Where`` takes 506 us for 8 x 6 x 128 x 128 numbers, ``Add`` about 100.

Tried and left out, because it gained at most 2 %: one merged matrix product for query, key and value
(0.88-1.02 of the separate ones, which share one quantized input), ``QAttention`` (1.02) and
``MultiHeadAttention`` (1.00 with a mask).
"""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto

from inc_onnx.graph import Graph

__all__ = ["fuse"]

_MICROSOFT = "com.microsoft"
_GELU_OPSET = 20
# from here on, float32 has no digits left for scores
_NEVER = -1e20


def fuse(graph: Graph) -> bool:
    """Apply every rewrite in place; return whether anything changed."""
    changed = False
    for node in list(graph.nodes):
        if node.op_type == "Erf":
            changed |= _fuse_gelu(graph, node)
        elif node.op_type == "Add":
            changed |= _keep_apart(graph, node)
        elif node.op_type == "Where":
            changed |= _add_mask(graph, node)
    return changed


def _keep_apart(graph: Graph, add: NodeProto) -> bool:
    """Write a residual ``Add`` before a layer normalization as ``Sum``."""
    if not all(graph.is_float(name) and _varies_by_row(graph, name) for name in add.input):
        return False
    if not _is_normalized(graph, add.output[0]):
        return False
    name, inputs, output = add.name, list(add.input), add.output[0]
    graph.remove(add)
    graph.add_node("Sum", inputs, [output]).name = name
    return True


def _varies_by_row(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is more than a bias: the runtime does not fuse a bias with what follows it."""
    return not graph.is_constant(tensor) or len(graph.shape(tensor) or ()) > 1


def _is_normalized(graph: Graph, tensor: str) -> bool:
    """Whether a layer normalization reads a tensor, as one op or as its mean and the difference to it."""
    readers = graph.consumers(tensor)
    types = {reader.op_type for reader in readers}
    if "LayerNormalization" in types:
        return True
    means = {r.output[0] for r in readers if r.op_type == "ReduceMean"}
    return any(r.op_type == "Sub" and r.input[1] in means for r in readers)


def _add_mask(graph: Graph, where: NodeProto) -> bool:
    """Write the masking of attention scores as an addition, where the mask is smaller than the scores."""
    following = graph.only_consumer(where.output[0])
    condition, *values = where.input
    hidden = [position for position, name in enumerate(values) if _is_never(graph, name)]
    if following is None or following.op_type != "Softmax" or len(hidden) != 1:
        return False
    scores = values[1 - hidden[0]]
    if not graph.is_float(scores) or not _is_smaller(graph, condition, scores):
        return False
    name, output = where.name, where.output[0]
    mask = graph.fresh(f"{output}_mask")
    values[1 - hidden[0]] = graph.add_constant(f"{output}_zero", np.zeros((), np.float32))
    graph.remove(where)
    graph.add_node("Where", [condition, *values], [mask])
    graph.add_node("Add", [scores, mask], [output]).name = name
    return True


def _is_never(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is one number so low that no finite score added to it changes it."""
    value = graph.scalar(tensor)
    return value is not None and value <= _NEVER


def _is_smaller(graph: Graph, condition: str, scores: str) -> bool:
    mask, full = graph.shape(condition), graph.shape(scores)
    return mask is not None and full is not None and (len(mask) < len(full) or 1 in mask)


def _fuse_gelu(graph: Graph, erf: NodeProto) -> bool:
    """Replace the ops around an ``Erf`` by ``Gelu``, if they are those of the exact GELU."""
    scaling = graph.producer(erf.input[0])
    x = None if scaling is None else _divided_by_root_of_two(graph, scaling)
    plus_one = graph.only_consumer(erf.output[0])
    if scaling is None or x is None or not _is_plus_one(graph, plus_one):
        return False
    assert plus_one is not None  # else it would not be the addition
    product = _times_half_x(graph, plus_one.output[0], x)
    if product is None or graph.only_consumer(scaling.output[0]) is not erf:
        return False
    output, name = product[-1].output[0], erf.name
    for node in (scaling, erf, plus_one, *product):
        graph.remove(node)
    domain = "" if graph.opset >= _GELU_OPSET else _MICROSOFT
    graph.add_node("Gelu", [x], [output], domain=domain).name = name
    return True


def _divided_by_root_of_two(graph: Graph, node: NodeProto) -> str | None:
    """Return ``x`` of ``x / sqrt(2)`` or ``x * sqrt(0.5)``."""
    if node.op_type == "Div" and _equals(graph.scalar(node.input[1]), math.sqrt(2)):
        return str(node.input[0])
    return _other_factor(graph, node, math.sqrt(0.5))


def _is_plus_one(graph: Graph, node: NodeProto | None) -> bool:
    if node is None or node.op_type != "Add":
        return False
    return any(_equals(graph.scalar(name), 1.0) for name in node.input)


def _times_half_x(graph: Graph, tensor: str, x: str) -> list[NodeProto] | None:
    """Return the two multiplications that make ``tensor * x * 0.5``, in any order, the last one last."""
    first = graph.only_consumer(tensor)
    if first is None or first.op_type != "Mul":
        return None
    other = _other_input(first, tensor)
    half_x = graph.producer(other)
    if half_x is not None and _other_factor(graph, half_x, 0.5) == x:
        return [half_x, first] if graph.only_consumer(other) is first else None
    second = graph.only_consumer(first.output[0])
    if second is None or second.op_type != "Mul":
        return None
    last = _other_input(second, first.output[0])
    if other == x and _equals(graph.scalar(last), 0.5):
        return [first, second]
    if last == x and _equals(graph.scalar(other), 0.5):
        return [first, second]
    return None


def _other_factor(graph: Graph, node: NodeProto, factor: float) -> str | None:
    """Return ``x`` if a node is ``x * factor`` or ``factor * x``."""
    if node.op_type != "Mul":
        return None
    for constant, x in (node.input, reversed(node.input)):
        if _equals(graph.scalar(constant), factor):
            return str(x)
    return None


def _other_input(node: NodeProto, tensor: str) -> str:
    return str(node.input[1] if node.input[0] == tensor else node.input[0])


def _equals(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=1e-5)
