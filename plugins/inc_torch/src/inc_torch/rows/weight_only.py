"""Weight-only int4 by rounding to nearest: groups of weights share a scale, activations stay float."""

from __future__ import annotations

import torch
from torch import fx

from inc_core.quant.calibrator import Calibration
from inc_core.quant.spec import OpConfig, TensorSpec
from inc_core.quant.weights import quantize_weight
from inc_torch.editing import Editor
from inc_torch.kernels import Compute, pack_int4_weight
from inc_torch.op_table import Row
from inc_torch.rows.requirements import constant_weight

__all__ = ["rows"]

_GROUP_SIZES = (128, 64, 32)
_OFFSET = 8  # a signed 4-bit value is stored as an unsigned one


def rows() -> tuple[Row, ...]:
    """Return the rows of ``Linear``, the fastest groups first."""
    return tuple(
        Row(
            "Linear",
            OpConfig("weight_only", weight=TensorSpec(dtype, scheme, "per_group", group_size=size)),
            constant_weight,
            _emit,
        )
        for size in _GROUP_SIZES
        for dtype, scheme in (("int4", "sym"), ("uint4", "asym"))
    )


def _emit(editor: Editor, node: fx.Node, config: OpConfig, calibration: Calibration) -> None:
    assert config.weight is not None and config.weight.group_size is not None
    weight = editor.tensor(node.args[1])
    assert weight is not None
    q_weight, qparams = quantize_weight(weight.numpy(), config.weight, axis=0)
    signed = config.weight.qmin < 0
    codes = torch.from_numpy(q_weight).to(torch.int16) + (_OFFSET if signed else 0)
    zero_points = None if signed else torch.from_numpy(qparams.zero_point)
    scales = torch.from_numpy(qparams.scale)
    packed = pack_int4_weight(codes, scales, zero_points, config.weight.group_size)
    stem = str(node.args[1].target)
    with editor.graph.inserting_before(node):
        zeros = packed.zero_points
        args = (
            node.args[0],
            editor.buffer(stem, packed.packed),
            editor.buffer(f"{stem}_scales", packed.scales),
            None if zeros is None else editor.buffer(f"{stem}_zero_points", zeros),
            node.args[2] if len(node.args) > 2 else None,
            packed.in_features,
            packed.out_features,
            packed.group_size,
            int(Compute.FP32),
        )
        editor.replace(node, torch.ops.inc.int4_linear.default, args)
