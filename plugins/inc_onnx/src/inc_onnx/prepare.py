"""Preparing a float model once, before anything is decided: same function, simpler graph.

The opset is raised where per-channel quantization needs it, ops get unique stable names, constants
are computed, batch normalization disappears in the conv before it, shapes are inferred. Outputs
stay equal to the source's within rounding of float32 (relative 1e-4).
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import onnx
from onnx import version_converter

from inc_core.errors import UnsupportedModelError
from inc_onnx.folding import fold_constants, lift_constants
from inc_onnx.graph import Graph
from inc_onnx.model import OnnxModel
from inc_onnx.shapes import with_shapes
from inc_onnx.simplify import simplify
from inc_onnx.static_shapes import settle_shapes
from inc_onnx.transformer import fuse

__all__ = ["prepare"]

_log = logging.getLogger("inc_core.onnx")

# DequantizeLinear per channel came with 13; 17 has LayerNormalization and is what exporters write today
_LEAST_OPSET = 13
_WANTED_OPSET = 17
# what one round settles can make a shape known that the next one reads; exporters' graphs need two
_SHAPE_ROUNDS = 3


def prepare(proto: onnx.ModelProto, folder: Path | None, *, threads: int = 0) -> OnnxModel:
    """Return the prepared model.

    Raises:
        UnsupportedModelError: If the graph is inconsistent.
    """
    proto, obstacle = _raise_opset(proto, folder)
    graph = Graph(proto, folder)
    _name_nodes(graph)
    lift_constants(graph)
    fold_constants(graph)
    proto = with_shapes(graph.proto())
    graph = Graph(proto, folder)
    for _ in range(_SHAPE_ROUNDS):
        if not settle_shapes(graph):
            break
        fold_constants(graph)
        proto = with_shapes(graph.proto())
        graph = Graph(proto, folder)
    changed = simplify(graph)
    if fuse(graph) or changed:
        proto = with_shapes(graph.proto())
    return OnnxModel(proto, folder, threads=threads, obstacle=obstacle)


def _raise_opset(proto: onnx.ModelProto, folder: Path | None) -> tuple[onnx.ModelProto, str]:
    """Return the model with an opset that can be quantized, and why not where that is impossible."""
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1)
    if opset >= _LEAST_OPSET:
        return proto, ""
    if folder is not None:
        return proto, f"opset {opset} cannot be raised in a model with external data"
    error: Exception
    for wanted in (_WANTED_OPSET, _LEAST_OPSET):
        try:
            raised = version_converter.convert_version(proto, wanted)
        except Exception as caught:  # noqa: BLE001 - the converter raises bare RuntimeErrors
            error = caught
            continue
        _log.info("raised the opset from %d to %d", opset, wanted)
        raised.ir_version = max(raised.ir_version, 8)
        return raised, ""
    reason = str(error).strip().splitlines()[0]
    return proto, f"opset {opset} could not be raised to {_LEAST_OPSET}: {reason}"


def _name_nodes(graph: Graph) -> None:
    """Give every node a unique name; a given one is kept by the first that has it."""
    taken = Counter({name: 1 for name in (*graph.inputs,)})
    for node in graph.nodes:
        outputs = [name for name in node.output if name]
        if not outputs:
            raise UnsupportedModelError(
                f"a {node.op_type} node has no output; the graph is corrupt"
            )
        name = node.name or f"{node.op_type}_{outputs[0]}"
        taken[name] += 1
        node.name = name if taken[name] == 1 else _free(name, taken)


def _free(name: str, taken: Counter[str]) -> str:
    number = taken[name]
    while f"{name}_{number}" in taken:
        number += 1
    taken[f"{name}_{number}"] += 1
    return f"{name}_{number}"
