"""What the session really runs: read from the graph that ONNX Runtime has optimized."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import helper

from inc_core.quant.spec import OpConfig, OpKey
from inc_onnx.kernels.native.library import DOMAIN, isa
from inc_onnx.model import OnnxModel, new_session, session_options

__all__ = ["executed", "optimized_graph", "remember_ops"]

_INTEGER_PREFIXES = (
    "QLinear",
    "QGemm",
    "QAttention",
    "DynamicQuantize",
    "MatMulInteger",
    "MatMulNBits",
    "ConvInteger",
)
_MOVING = frozenset({"Concat", "Pad", "Transpose", "Reshape", "MaxPool", "NhwcMaxPool"})
_INT8 = "int8"
_OPS_PROPERTY = "inc_onnx.ops"


def remember_ops(proto: onnx.ModelProto, ops: Mapping[OpKey, OpConfig]) -> onnx.ModelProto:
    """Write the float model's ops into a quantized model, whose own nodes differ; return it."""
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    rows = [[*op, config.precision if config.is_quantized else ""] for op, config in ops.items()]
    properties[_OPS_PROPERTY] = json.dumps(rows)
    helper.set_model_props(proto, properties)
    return proto


def executed(model: OnnxModel, ops: Iterable[OpKey]) -> Mapping[OpKey, str]:
    """Return the precision in which the runtime computes each op, and whose kernel that is if it is ours.

    ONNX Runtime names a fused node after the node that it replaces, so that an op is found by its
    name or by a name that begins with it. An op that disappeared into a float fusion is ``"fp32"``.

    Args:
        model: A float or quantized model.
        ops: The ops of a float model; a quantized one remembers those that it was made from.
    """
    properties = {entry.key: entry.value for entry in model.proto.metadata_props}
    rows = json.loads(properties.get(_OPS_PROPERTY, "[]"))
    wanted = {OpKey(name, kind): word for name, kind, word in rows} or dict.fromkeys(ops, "")
    graph = optimized_graph(model)
    integer = _integer_nodes(graph)
    native = [node.name for node in graph.node if node.domain == DOMAIN]
    by_inc = f" by inc's kernels, {isa()}" if native else ""
    return {
        op: (word or _INT8) + (by_inc if _is_named(op.name, native) else "")
        if _is_named(op.name, integer)
        else "fp32"
        for op, word in wanted.items()
    }


def _is_named(op: str, nodes: Iterable[str]) -> bool:
    return any(name == op or _made_from(name, op) for name in nodes)


def optimized_graph(model: OnnxModel) -> onnx.GraphProto:
    """Return the graph after all of ONNX Runtime's optimizations, without its weights' values."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = session_options(model.threads)
        options.optimized_model_filepath = str(path)
        new_session(model.proto, model.folder, options)
        return onnx.load(str(path), load_external_data=False).graph


def _integer_nodes(graph: onnx.GraphProto) -> list[str]:
    """Return the names of nodes that compute with integers, or move them; the graph is sorted."""
    tensors: set[str] = set()
    found = []
    for node in graph.node:
        computes = node.domain == DOMAIN or node.op_type.startswith(_INTEGER_PREFIXES)
        moves = bool(node.input) and node.input[0] in tensors and node.op_type in _MOVING
        if computes or moves:
            found.append(node.name)
        if moves or node.op_type.startswith(("QuantizeLinear", "QLinear")):
            tensors.update(node.output)
    return found


def _made_from(name: str, op: str) -> bool:
    return name.startswith(op) and name[len(op) :].startswith(("_token_", "_quant", "_nhwc"))
