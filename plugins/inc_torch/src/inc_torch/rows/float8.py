"""Linear layers in float8 on GPUs: rows of activations and weights by output, in e4m3."""

from __future__ import annotations

import torch
from torch import fx

from inc_core.quant.calibrator import Calibration
from inc_core.quant.spec import OpConfig, TensorSpec
from inc_torch.cuda.float8 import quantize_float8
from inc_torch.editing import Editor
from inc_torch.op_table import Row
from inc_torch.rows.requirements import floating_weight

__all__ = ["rows"]


def rows() -> tuple[Row, ...]:
    """Return the row of ``Linear``."""
    activation = TensorSpec("fp8_e4m3", "sym")
    weight = TensorSpec("fp8_e4m3", "sym", "per_channel")
    return (Row("Linear", OpConfig("dynamic", activation, weight), floating_weight, _emit),)


def _emit(editor: Editor, node: fx.Node, config: OpConfig, calibration: Calibration) -> None:
    weight = editor.tensor(node.args[1])
    assert weight is not None  # as the row requires
    q_weight, scales = quantize_float8(weight.detach())
    stem = str(node.args[1].target)
    with editor.graph.inserting_before(node):
        args = (
            node.args[0],
            editor.buffer(stem, q_weight),
            editor.buffer(f"{stem}_scales", scales[:, 0].contiguous()),
            node.args[2] if len(node.args) > 2 else None,
        )
        editor.replace(node, torch.ops.inc.float8_linear.default, args)
