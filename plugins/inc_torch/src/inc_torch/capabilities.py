"""What can be done with each op of a float graph, generated from the op table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import fx

from inc_core.quant.spec import FP32, OpCapability, OpConfig, TensorKey
from inc_torch.naming import op_key, op_type, tensor_key
from inc_torch.op_table import Row
from inc_torch.static import tensors_of

__all__ = ["capabilities", "find_row", "read_tensors"]

# float ops that are worth a line in the ledger; ops not named here only move or reshape values
_NOTES: Mapping[str, str] = {
    "Conv1d": "no kernel for this approach is faster than float",
    "Conv2d": "no kernel for this approach is faster than float",
    "Conv3d": "oneDNN has no int8 form of it in torch",
    "ConvTranspose1d": "torch has no int8 kernel for it",
    "ConvTranspose2d": "torch has no int8 kernel for it",
    "Linear": "no kernel for this approach",
    "MatMul": "a product of two activations: torch has no int8 kernel for it that is faster",
    "Attention": "torch's fused attention computes in float",
    "LayerNorm": "its statistics need float",
    "RMSNorm": "its statistics need float",
    "GroupNorm": "its statistics need float",
    "InstanceNorm": "its statistics need float",
    "BatchNorm": "no convolution before it that it could be folded into",
    "Softmax": "its exponentials need float",
    "LSTM": "no kernel for this approach",
    "GRU": "no kernel for this approach",
}
_WEIGHTED = ("Conv1d", "Conv2d", "Linear")


def capabilities(graph: fx.GraphModule, table: Sequence[Row]) -> tuple[OpCapability, ...]:
    """Return the capabilities of all ops in execution order.

    Args:
        graph: A normalized float graph with names.
        table: The rows that may serve this run.
    """
    types = {row.op_type for row in table if row.config.is_quantized}
    ranges = _ranges(graph, table)
    found = []
    for node in graph.graph.nodes:
        if node.op != "call_function":
            continue
        kind = op_type(node)
        if kind in _NOTES or (kind in types and _computes(node)):
            found.append(_capability(graph, node, table, ranges))
    return tuple(found)


def find_row(
    graph: fx.GraphModule, node: fx.Node, config: OpConfig, table: Sequence[Row]
) -> Row | None:
    """Return the first row that serves a node under a config; ``None`` if there is none."""
    kind = op_type(node)
    rows = (row for row in table if row.op_type == kind and row.config == config)
    return next((row for row in rows if row.requires(graph, node) is None), None)


def read_tensors(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the computed tensors that an op reads: its inputs without weights."""
    return tuple(one for one in node.all_input_nodes if one.op != "get_attr")


def _computes(node: fx.Node) -> bool:
    """Whether a node adds tensors of floats; sums of numbers and shapes are not worth a line."""
    value = node.meta.get("val")
    inputs = [one for one in node.args[:2] if isinstance(one, fx.Node)]
    is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
    return is_float and len(inputs) == 2


def _ranges(graph: fx.GraphModule, table: Sequence[Row]) -> Mapping[str, tuple[TensorKey, ...]]:
    """Return by node the tensors whose ranges it would need, were every op static that can be."""
    nodes = {node.name: node for node in graph.graph.nodes}
    static = [row for row in table if row.config.mode == "static"]
    able = [
        node.name
        for node in nodes.values()
        if node.op == "call_function" and _serves(graph, node, static)
    ]
    wanted = tensors_of(graph, able) if able else {}
    return {
        name: tuple(dict.fromkeys(tensor_key(nodes[one]) for one in tensors))
        for name, tensors in wanted.items()
    }


def _serves(graph: fx.GraphModule, node: fx.Node, rows: Sequence[Row]) -> bool:
    kind = op_type(node)
    asked = {row.requires for row in rows if row.op_type == kind}
    return any(requires(graph, node) is None for requires in asked)


def _capability(
    graph: fx.GraphModule,
    node: fx.Node,
    table: Sequence[Row],
    ranges: Mapping[str, tuple[TensorKey, ...]],
) -> OpCapability:
    configs, reasons = _configs(graph, node, table)
    op = op_key(node)
    floats = tuple(config for config in configs if not config.is_quantized)
    quantized = tuple(config for config in configs if config.is_quantized)
    if not quantized:
        note = reasons[-1] if reasons else _NOTES.get(op.type, "no kernel for it")
        return OpCapability(op, (FP32, *floats), note=note)
    static = any(config.mode == "static" for config in quantized)
    return OpCapability(
        op,
        (*quantized, FP32, *floats),
        activations=ranges[node.name] if static else (),
        first=_is_first(node),
    )


def _configs(
    graph: fx.GraphModule, node: fx.Node, table: Sequence[Row]
) -> tuple[list[OpConfig], list[str]]:
    configs: list[OpConfig] = []
    reasons: list[str] = []
    answers: dict[int, str | None] = {}
    kind = op_type(node)
    for row in (row for row in table if row.op_type == kind):
        key = id(row.requires)
        if key not in answers:
            answers[key] = row.requires(graph, node)
            if answers[key] is not None and row.config.is_quantized:
                reasons.append(answers[key] or "")
        if answers[key] is None and row.config not in configs:
            configs.append(row.config)
    return configs, reasons


def _is_first(node: fx.Node) -> bool:
    """Whether a conv or linear layer reads a model input itself."""
    return op_type(node) in _WEIGHTED and read_tensors(node)[0].op == "placeholder"
