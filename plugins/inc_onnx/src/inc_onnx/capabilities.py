"""What can be done with each op of a float model, generated from the kernel table."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import NodeProto, TensorProto

from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorKey
from inc_onnx.graph import Graph
from inc_onnx.kernels.table import Kernel
from inc_onnx.plan import COMPUTE_TYPES, data_inputs
from inc_onnx.topology import is_transformer, output_tensor, source_tensor, tensor_key

__all__ = ["capabilities", "find_kernel"]

_FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})

# float ops that are worth a line in the ledger; ops not named here only move or reshape values
_NOTES = {
    "If": "its bodies are left alone",
    "Loop": "its body is left alone",
    "Scan": "its body is left alone",
    "Softmax": "its exponentials need float; ONNX Runtime has no faster 8-bit form",
    "LayerNormalization": "its statistics need float",
    "InstanceNormalization": "its statistics need float",
    "GroupNormalization": "its statistics need float",
    "BatchNormalization": "no conv before it that it could be folded into",
    "ConvTranspose": "ONNX Runtime has no int8 kernel for it",
    "Conv": "no kernel for this approach is faster than float",
    "Gemm": "no kernel for this approach",
    "MatMul": "no kernel for this approach",
    "LSTM": "no kernel for this approach",
    "GRU": "ONNX Runtime has no int8 kernel for it",
    "RNN": "ONNX Runtime has no int8 kernel for it",
    "Attention": "no kernel for this approach",
    "Einsum": "ONNX Runtime has no int8 kernel for it",
    "PRelu": "ONNX Runtime has no int8 kernel for it",
    "HardSwish": "ONNX Runtime has no int8 kernel for it",
    "Elu": "ONNX Runtime has no int8 kernel for it",
    "Gelu": "ONNX Runtime has no int8 kernel for it",
}


def capabilities(
    graph: Graph, table: Sequence[Kernel], obstacle: str = ""
) -> tuple[OpCapability, ...]:
    """Return the capabilities of all ops in execution order.

    Args:
        graph: A prepared float graph.
        table: The rows that may serve this run.
        obstacle: Why nothing can be quantized in this model; empty if it can.
    """
    types = {kernel.op_type for kernel in table}
    found = []
    for node in graph.nodes:
        known = node.op_type in types or node.op_type in _NOTES
        if known and (node.op_type in _CONTROL_FLOW or _computes_floats(graph, node)):
            found.append(_capability(graph, node, table, obstacle))
    return tuple(found)


def _computes_floats(graph: Graph, node: NodeProto) -> bool:
    """Whether a node's result is float, or not known; arithmetic on shapes is not worth a line."""
    return graph.element_type(node.output[0]) in (0, *_FLOAT_TYPES)


def find_kernel(
    graph: Graph, node: NodeProto, config: OpConfig, table: Sequence[Kernel]
) -> Kernel | None:
    """Return the first row that serves a node under a config; ``None`` if there is none."""
    rows = (k for k in table if k.op_type == node.op_type and k.config == config)
    return next((kernel for kernel in rows if kernel.requires(graph, node) is None), None)


def _capability(
    graph: Graph, node: NodeProto, table: Sequence[Kernel], obstacle: str
) -> OpCapability:
    op = OpKey(node.name, node.op_type)
    configs, reasons = _configs(graph, node, table)
    if obstacle or not any(config.is_quantized for config in configs):
        reason = obstacle or _reason(node, reasons)
        floats = tuple(config for config in configs if not config.is_quantized)
        return OpCapability(op, (FP32, *floats), note=reason)
    # measured: attention nets run best with scales per call, conv nets between integer neighbours
    preferred = "dynamic" if is_transformer(graph) else "static"
    quantized = sorted((c for c in configs if c.is_quantized), key=lambda c: c.mode != preferred)
    floats = tuple(config for config in configs if not config.is_quantized)
    static = any(config.mode == "static" for config in quantized)
    return OpCapability(
        op,
        (*quantized, FP32, *floats),
        activations=_activations(graph, node) if static else (),
        first=_is_first(graph, node),
    )


def _configs(
    graph: Graph, node: NodeProto, table: Sequence[Kernel]
) -> tuple[list[OpConfig], list[str]]:
    configs: list[OpConfig] = []
    reasons: list[str] = []
    answers: dict[int, str | None] = {}
    for kernel in (k for k in table if k.op_type == node.op_type):
        key = id(kernel.requires)
        if key not in answers:
            answers[key] = kernel.requires(graph, node)
            if answers[key] is not None and kernel.config.is_quantized:
                reasons.append(answers[key] or "")
        if answers[key] is None and kernel.config not in configs:
            configs.append(kernel.config)
    return configs, reasons


def _reason(node: NodeProto, reasons: Sequence[str]) -> str:
    """Choose the words for the user: the last row that was asked is the one that came closest."""
    return reasons[-1] if reasons else _NOTES.get(node.op_type, "no kernel for it")


def _activations(graph: Graph, node: NodeProto) -> tuple[TensorKey, ...]:
    tensors = [name for name in data_inputs(graph, node) if not graph.is_constant(name)]
    sources = [source_tensor(graph, name) for name in tensors]
    keys = [tensor_key(graph, source) for source in (*sources, output_tensor(graph, node))]
    return tuple(dict.fromkeys(keys))


def _is_first(graph: Graph, node: NodeProto) -> bool:
    if node.op_type not in COMPUTE_TYPES or is_transformer(graph):
        return False
    return source_tensor(graph, node.input[0]) in graph.inputs
