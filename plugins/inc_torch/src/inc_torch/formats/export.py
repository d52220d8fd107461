"""From a weight-only model to a checkpoint that other tools read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from inc_core.errors import UnsupportedModelError
from inc_core.quant.spec import INTEGER_RANGES, OpConfig
from inc_torch.formats.layer import StoredLayer
from inc_torch.formats.write import write_checkpoint
from inc_torch.kernels.packing import Int4Weight, int4_codes, unpack_int8_weight
from inc_torch.model import TorchModel
from inc_torch.naming import op_name
from inc_torch.static.prepare import attribute

__all__ = ["export_checkpoint"]

_INT4, _INT8 = torch.ops.inc.int4_linear.default, torch.ops.inc.dynamic_linear.default
# of constants that tracing made; a checkpoint holds parameters and buffers
_LIFTED = ("lifted_tensor", "_tensor_constant", "inc_")


def export_checkpoint(model: TorchModel, directory: str | Path, layout: str = "gptq") -> None:
    """Write a weight-only model in a format of the ecosystem's servers.

    Args:
        model: A quantized model of this plugin, such as ``q_model.model``.
        directory: Gets ``model.safetensors`` and ``config.json``; copy the float model's own
            ``config.json`` and tokenizer there first, servers need them.
        layout: ``"gptq"`` or ``"compressed-tensors"``.

    Raises:
        ConfigError: If the layout is unknown.
        UnsupportedModelError: If no weight is quantized, or something has no place in the layout.
    """
    for op, config in model.facts.ops.items():
        if config.mode not in ("weight_only", "fp32"):
            raise UnsupportedModelError(
                f"{op.name!r} runs as {config}; a checkpoint of these formats holds weight-only and "
                "float32 ops alone"
            )
    layers: dict[str, StoredLayer] = {}
    others: dict[str, Tensor] = {}
    configs = {op.name: config for op, config in model.facts.ops.items()}
    for prefix, graph in _graphs(model):
        mine = {op_name(node): node for node in graph.graph.nodes if _weight_only(node, configs)}
        layers |= {name: _stored(name, node, graph, configs[name]) for name, node in mine.items()}
        read = {arg for node in mine.values() for arg in node.all_input_nodes}
        for node in graph.graph.nodes:
            if node.op == "get_attr" and node not in read and not prefix:
                others[str(node.target)] = attribute(graph, str(node.target))
    if not model.facts.traced:
        inside = tuple(f"{name}." for name in layers)
        state = model.body.state_dict()
        others = {name: tensor for name, tensor in state.items() if not name.startswith(inside)}
    others = {name: tensor for name, tensor in others.items() if not name.startswith(_LIFTED)}
    skipped = tuple(
        op.name for op in model.facts.ops if op.type == "Linear" and op.name not in layers
    )
    write_checkpoint(Path(directory), layers, others, skipped, layout)


def _graphs(model: TorchModel) -> Iterator[tuple[str, fx.GraphModule]]:
    if model.facts.traced:
        yield "", model.graph
        return
    for path, leaf in model.body.named_modules():
        if isinstance(leaf, TorchModel):
            yield path, leaf.graph


def _weight_only(node: fx.Node, configs: dict[str, OpConfig]) -> bool:
    if node.target not in (_INT4, _INT8):
        return False
    config = configs.get(op_name(node))
    return config is not None and config.mode == "weight_only"


def _stored(name: str, node: fx.Node, graph: fx.GraphModule, config: OpConfig) -> StoredLayer:
    _refuse_scaled_input(name, node)
    spec = config.weight
    assert spec is not None  # of a weight-only config
    qmin, qmax = INTEGER_RANGES[spec.dtype]
    bits = (qmax - qmin).bit_length()
    values = [_value(graph, arg) for arg in node.args]
    if node.target is _INT4:
        _, packed, scales, zeros, bias, inputs, outputs, group_size, _ = values
        weight = Int4Weight(packed, scales, zeros, inputs, outputs, group_size)
        codes, scale, zero_point = int4_codes(weight)
    else:
        _, packed, _, scales, bias, outputs, _ = values
        # weight-only rows of 8 bits take whole quads of inputs, so that nothing is padding
        q_weight = unpack_int8_weight(packed, packed.shape[1] * 4, outputs)
        codes, scale = q_weight.short() - qmin, scales[:, None]
        zero_point = torch.full_like(scale, -qmin, dtype=torch.int16)
        group_size = codes.shape[1]
    return StoredLayer(
        codes.short(),
        scale,
        zero_point.short(),
        bits,
        min(group_size, codes.shape[1]),
        symmetric=spec.scheme == "sym",
        bias=bias,
    )


def _refuse_scaled_input(name: str, node: fx.Node) -> None:
    source = node.args[0]
    if isinstance(source, fx.Node) and any("_input_scale" in str(a) for a in source.args):
        raise UnsupportedModelError(
            f"{name}: its inputs are scaled, which has no place in a checkpoint without the model's "
            "code. AWQ does it: choose weight algorithm GPTQ, HQQ or RTN for models to be exported. So "
            "do weights that are all below 0.001 or above 16384: keep such a layer float."
        )


def _value(graph: fx.GraphModule, arg: Any) -> Any:
    if isinstance(arg, fx.Node) and arg.op == "get_attr":
        return attribute(graph, str(arg.target))
    return arg
