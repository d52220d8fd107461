"""bf16: a float mode of half the memory and twice the speed, where the processor multiplies it."""

from __future__ import annotations

import torch
from torch import fx

from inc_core.quant.calibrator import Calibration
from inc_core.quant.spec import OpConfig
from inc_torch.editing import Editor
from inc_torch.op_table import Row
from inc_torch.processor import multiplies_bf16
from inc_torch.rows.requirements import constant_weight

__all__ = ["rows"]

aten = torch.ops.aten


def rows() -> tuple[Row, ...]:
    """Return the rows of ops with a weight; none where bf16 would be slower."""
    if not multiplies_bf16():
        return ()
    types = ("Conv2d", "Conv1d", "Linear")
    return tuple(Row(one, OpConfig("bf16"), constant_weight, _emit) for one in types)


def _emit(editor: Editor, node: fx.Node, config: OpConfig, calibration: Calibration) -> None:
    """Convert the input to bf16 and the result back; torch removes neither, both are cheap."""
    constants = [None if one is None else editor.tensor(one) for one in node.args[1:3]]
    stem = str(node.args[1].target)
    graph = editor.graph
    with graph.inserting_before(node):
        x = graph.call_function(aten.to.dtype, (node.args[0], torch.bfloat16))
        lowered = [
            None if value is None else editor.buffer(f"{stem}_{part}_bf16", value.bfloat16())
            for part, value in zip(("w", "b"), constants, strict=False)
        ]
        result = graph.call_function(node.target, (x, *lowered, *node.args[3:]), node.kwargs)
        editor.replace(node, aten.to.dtype, (result, torch.float32))
