"""Constants: ``Constant`` nodes become initializers, and what depends only on constants is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from inc_core.errors import UnsupportedModelError
from inc_onnx.graph import Graph
from inc_onnx.model import new_session, session_options

__all__ = ["fold_constants", "lift_constants"]

Array = np.ndarray[Any, Any]

_NOT_FOLDED = frozenset(
    {
        "RandomNormal",
        "RandomUniform",
        "RandomNormalLike",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
        "Dropout",
        # the integers of an already quantized model stay integers
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
    }
)
# a computed constant may be this many times larger than what it was computed from
_GROWTH_LIMIT = 4
_ALWAYS_SMALL_BYTES = 1 << 16


def lift_constants(graph: Graph) -> None:
    """Turn ``Constant`` nodes into initializers."""
    for node in [n for n in graph.nodes if n.op_type == "Constant" and n.domain == ""]:
        value = _constant_value(node)
        if value is None or node.output[0] in graph.outputs:
            continue
        graph.remove(node)
        graph.adopt_constant(node.output[0], value)


def fold_constants(graph: Graph) -> None:
    """Compute every node that reads only initializers, in one run of the runtime."""
    foldable = _foldable(graph)
    if not foldable:
        return
    inside = {name for node in foldable for name in node.output}
    names = set(map(id, foldable))
    wanted = [
        name
        for node in foldable
        for name in node.output
        if name and any(id(reader) not in names for reader in graph.consumers(name))
    ]
    computed = _compute(graph, foldable, wanted) if wanted else []
    values = dict(zip(wanted, computed, strict=True))
    kept = {name for name, value in values.items() if not _fits(graph, foldable, value)}
    if kept or not inside.isdisjoint(graph.outputs):
        return  # rare: a large generated tensor, or a constant model output; the runtime folds it
    for node in foldable:
        graph.remove(node)
    for name, value in values.items():
        graph.adopt_constant(name, numpy_helper.from_array(value, name))


def _foldable(graph: Graph) -> list[NodeProto]:
    constant: set[str] = set()
    found = []
    for node in graph.nodes:
        inputs = [name for name in node.input if name]
        bodies = any(a.HasField("g") or a.graphs for a in node.attribute)
        standard = node.domain in ("", "ai.onnx") and node.op_type not in _NOT_FOLDED
        known = all(graph.is_constant(name) or name in constant for name in inputs)
        if standard and inputs and known and not bodies:
            constant.update(node.output)
            found.append(node)
    return found


def _compute(graph: Graph, nodes: list[NodeProto], wanted: list[str]) -> list[Array]:
    model = onnx.ModelProto()
    model.ir_version = 8
    for domain, version in graph.opsets.items():
        model.opset_import.append(helper.make_opsetid(domain, version))
    model.graph.name = "constants"
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input if graph.is_constant(name)}
    model.graph.initializer.extend(graph.initializer(name) for name in sorted(used))
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    try:
        session = new_session(model, graph.folder, session_options(1))
        return [np.asarray(value) for value in session.run(None, {})]
    except Exception as error:
        raise UnsupportedModelError(
            f"the constants of the model cannot be computed: {error}"
        ) from error


def _fits(graph: Graph, nodes: list[NodeProto], value: Array) -> bool:
    used = {name for node in nodes for name in node.input if graph.is_constant(name)}
    size = sum(graph.initializer(name).ByteSize() for name in used)
    return bool(value.nbytes <= max(_ALWAYS_SMALL_BYTES, _GROWTH_LIMIT * size))


def _constant_value(node: NodeProto) -> onnx.TensorProto | None:
    for attribute in node.attribute:
        name, output = attribute.name, node.output[0]
        if name == "value":
            tensor: onnx.TensorProto = attribute.t
            return tensor
        if name in ("value_float", "value_floats"):
            return numpy_helper.from_array(_array(attribute, np.float32), output)
        if name in ("value_int", "value_ints"):
            return numpy_helper.from_array(_array(attribute, np.int64), output)
    return None


def _array(attribute: onnx.AttributeProto, dtype: type) -> Array:
    return np.asarray(helper.get_attribute_value(attribute), dtype)
