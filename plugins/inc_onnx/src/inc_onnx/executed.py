"""What the session really runs: read from the graph that ONNX Runtime has optimized."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import helper

from inc_core.quant.spec import OpKey
from inc_onnx.model import OnnxModel, new_session, session_options

__all__ = ["executed", "optimized_graph", "remember_ops"]

_INTEGER_PREFIXES = ("QLinear", "QGemm", "QAttention", "DynamicQuantize", "MatMulInteger", "ConvInteger")
_WEIGHT_ONLY = frozenset({"MatMulNBits", "GatherBlockQuantized"})
_INT8 = "int8"
_OPS_PROPERTY = "inc_onnx.ops"


def remember_ops(proto: onnx.ModelProto, ops: Iterable[OpKey]) -> onnx.ModelProto:
    """Write the float model's ops into a quantized model, whose own nodes differ; return it."""
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    properties[_OPS_PROPERTY] = json.dumps([list(op) for op in ops])
    helper.set_model_props(proto, properties)
    return proto


def executed(model: OnnxModel, ops: Iterable[OpKey]) -> Mapping[OpKey, str]:
    """Return the precision in which the runtime computes each op.

    Args:
        model: A float or quantized model.
        ops: The ops of a float model; a quantized one remembers those that it was made from.

    ONNX Runtime names a fused node after the node that it replaces, so that an op is found by its
    name or by a name that begins with it. An op that disappeared into a float fusion is ``"fp32"``.
    """
    properties = {entry.key: entry.value for entry in model.proto.metadata_props}
    remembered = json.loads(properties.get(_OPS_PROPERTY, "[]"))
    ops = tuple(OpKey(*op) for op in remembered) or tuple(ops)
    nodes = {node.name: node for node in optimized_graph(model).node}
    by_prefix = _Names(nodes)
    result = {}
    for op in ops:
        node = by_prefix.find(op.name)
        result[op] = "fp32" if node is None else _precision(node)
    return result


def optimized_graph(model: OnnxModel) -> onnx.GraphProto:
    """Return the graph after all of ONNX Runtime's optimizations, without its weights' values."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        options = session_options(model.threads)
        options.optimized_model_filepath = str(path)
        new_session(model.proto, model.folder, options)
        return onnx.load(str(path), load_external_data=False).graph


class _Names:
    """Finds the node of an op among the runtime's names."""

    def __init__(self, nodes: Mapping[str, onnx.NodeProto]) -> None:
        self._nodes = nodes

    def find(self, op: str) -> onnx.NodeProto | None:
        """Return the node called ``op``, or made from it; the integer one where there are several."""
        found = [node for name, node in self._nodes.items() if name == op or _made_from(name, op)]
        found.sort(key=lambda node: _precision(node) == "fp32")
        return found[0] if found else None


def _made_from(name: str, op: str) -> bool:
    return name.startswith(op) and name[len(op) :].startswith(("_token_", "_quant", "_nhwc", "/"))


def _precision(node: onnx.NodeProto) -> str:
    if node.op_type.startswith(_INTEGER_PREFIXES):
        return _INT8
    if node.op_type in _WEIGHT_ONLY:
        return f"int{next((a.i for a in node.attribute if a.name == 'bits'), 4)}"
    return "fp32"
