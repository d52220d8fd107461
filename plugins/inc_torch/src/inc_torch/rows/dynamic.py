"""Dynamic int8 linear layers: rows of activations are quantized as they come, by our own kernel."""

from __future__ import annotations

import torch
from torch import fx

from inc_core.quant.calibrator import Calibration
from inc_core.quant.spec import OpConfig, TensorSpec
from inc_core.quant.weights import quantize_weight
from inc_torch.editing import Editor, only_user
from inc_torch.kernels import Activation, pack_int8_weight
from inc_torch.op_table import Row
from inc_torch.rows.requirements import floating_weight

__all__ = ["fused_activation", "rows"]

aten = torch.ops.aten


def rows() -> tuple[Row, ...]:
    """Return the rows of ``Linear``: weights per channel before per tensor."""
    activation = TensorSpec("uint8", "asym")
    return tuple(
        Row(
            "Linear",
            OpConfig("dynamic", activation, TensorSpec("int8", "sym", granularity)),
            floating_weight,
            _emit,
        )
        for granularity in ("per_channel", "per_tensor")
    )


def _emit(editor: Editor, node: fx.Node, config: OpConfig, calibration: Calibration) -> None:
    assert config.weight is not None
    weight = editor.tensor(node.args[1])
    assert weight is not None
    q_weight, qparams = quantize_weight(weight.float().numpy(), config.weight, axis=0)
    packed = pack_int8_weight(torch.from_numpy(q_weight))
    scales = torch.from_numpy(qparams.scale.reshape(-1)).expand(packed.out_features).contiguous()
    tail, activation = fused_activation(node)
    stem = str(node.args[1].target)
    with editor.graph.inserting_before(tail):
        args = (
            node.args[0],
            editor.buffer(stem, packed.packed),
            editor.buffer(f"{stem}_sums", packed.column_sums),
            editor.buffer(f"{stem}_scales", scales),
            node.args[2] if len(node.args) > 2 else None,
            packed.out_features,
            int(activation),
        )
        editor.replace(tail, torch.ops.inc.dynamic_linear.default, args)
    if tail is not node:
        editor.graph.erase_node(node)


def fused_activation(node: fx.Node) -> tuple[fx.Node, Activation]:
    """Return the last node that the kernel computes, and which activation that is."""
    user = only_user(node)
    if user is None or user.args[:1] != (node,):
        return node, Activation.NONE
    if user.target is aten.gelu.default:
        exact = user.kwargs.get("approximate", "none") == "none"
        return user, Activation.GELU if exact else Activation.GELU_TANH
    if user.target is aten.relu.default:
        return user, Activation.RELU
    if user.target is aten.silu.default:
        return user, Activation.SILU
    return node, Activation.NONE
