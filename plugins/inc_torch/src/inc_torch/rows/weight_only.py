"""Weights in few bits: 2 to 4 run by the 4-bit kernel, 5 to 8 by the 8-bit one.

Both kernels round activations to int8 while they run, by group and by row; what is stored is the weight
alone. Bits below the kernel's cost no time and save none: they make the file smaller.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import fx

from inc_core.quant.calibrator import Calibration
from inc_core.quant.spec import OpConfig, TensorSpec
from inc_torch.editing import Editor, float_dtype
from inc_torch.kernels import Compute, pack_int4_weight, pack_int8_weight
from inc_torch.op_table import Row
from inc_torch.rows.requirements import floating_weight
from inc_torch.static.prepare import attribute
from inc_torch.weight_only import QuantizedWeight
from inc_torch.weight_only.algorithms import algorithm_of

__all__ = ["rows"]

# the fastest groups first; None: a scale for each output
_GROUP_SIZES = (128, 64, 32, None)
_INT4_BITS = (4, 3, 2)
_INT8_BITS = (8, 7, 6, 5)
INPUTS_PER_WORD = 4  # int8 weights are packed by four along the inputs
# the cheapest first; rounding to nearest goes by the name of its observer
_ALGORITHMS = ("minmax", "gptq", "awq", "hqq")


def rows() -> tuple[Row, ...]:
    """Return the rows of ``Linear``: 4 bits, 8 bits, then the odd widths."""
    by_bits = {bits: _int4_specs(bits) for bits in _INT4_BITS}
    by_bits |= {bits: _int8_specs(bits) for bits in _INT8_BITS}
    return tuple(
        Row(
            "Linear",
            OpConfig("weight_only", weight=spec, reads_inputs=algorithm_of(spec).needs_inputs),
            floating_weight if bits in _INT4_BITS else _whole_quads,
            _emit_int4 if bits in _INT4_BITS else _emit_int8,
        )
        for bits in (4, 8, 3, 2, 7, 6, 5)
        for spec in by_bits[bits]
    )


def _whole_quads(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Say why a weight does not fit the 8-bit form, which is stored without its number of inputs."""
    refused = floating_weight(graph, node)
    columns = None if refused else attribute(graph, str(node.args[1].target)).shape[1]
    if columns is None or columns % INPUTS_PER_WORD == 0:
        return refused
    return f"its {columns} inputs are no multiple of {INPUTS_PER_WORD}"


def _int4_specs(bits: int) -> list[TensorSpec]:
    return [
        TensorSpec(f"int{bits}", scheme, "per_group" if size else "per_channel", algorithm, size)
        for algorithm, size, scheme in product(_ALGORITHMS, _GROUP_SIZES, ("asym", "sym"))
    ]


def _int8_specs(bits: int) -> list[TensorSpec]:
    return [TensorSpec(f"int{bits}", "sym", "per_channel", name) for name in _ALGORITHMS]


def _emit_int4(editor: Editor, node: fx.Node, config: OpConfig, calibration: Calibration) -> None:
    chosen, spec = editor.chosen_weight(node), config.weight
    assert spec is not None  # every row of this table has one
    codes = chosen.q_weight.to(torch.int16) - spec.qmin
    # without zero points the kernel takes 8: the middle of 4 bits, and of no other width
    is_middle = spec.scheme == "sym" and spec.dtype == "int4"
    zero_points = None if is_middle else chosen.grid.zero_point.to(torch.int16) - spec.qmin
    group_size = -1 if chosen.grid.scale.shape[1] == 1 else chosen.grid.group_size
    packed = pack_int4_weight(codes, chosen.grid.scale, zero_points, group_size)
    stem = str(node.args[1].target)
    with editor.graph.inserting_before(node):
        zeros = packed.zero_points
        args = (
            _scaled_input(editor, node, chosen),
            editor.buffer(stem, packed.packed),
            editor.buffer(f"{stem}_scales", packed.scales),
            None if zeros is None else editor.buffer(f"{stem}_zero_points", zeros),
            node.args[2] if len(node.args) > 2 else None,
            packed.in_features,
            packed.out_features,
            packed.group_size,
            int(Compute.INT8),
        )
        editor.replace(node, torch.ops.inc.int4_linear.default, args)


def _emit_int8(editor: Editor, node: fx.Node, config: OpConfig, calibration: Calibration) -> None:
    chosen = editor.chosen_weight(node)
    packed = pack_int8_weight(chosen.q_weight)
    stem = str(node.args[1].target)
    with editor.graph.inserting_before(node):
        args = (
            _scaled_input(editor, node, chosen),
            editor.buffer(stem, packed.packed),
            editor.buffer(f"{stem}_sums", packed.column_sums),
            editor.buffer(f"{stem}_scales", chosen.grid.scale[:, 0].contiguous()),
            node.args[2] if len(node.args) > 2 else None,
            packed.out_features,
            0,
        )
        editor.replace(node, torch.ops.inc.dynamic_linear.default, args)


def _scaled_input(editor: Editor, node: fx.Node, chosen: QuantizedWeight) -> fx.Node:
    """Return what the layer reads, multiplied by AWQ's scales where there are some."""
    if chosen.input_scale is None:
        return node.args[0]
    scale = editor.buffer(f"{node.args[1].target}_input_scale", chosen.input_scale)
    scaled = editor.graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], scale))
    computed = float_dtype(node) or torch.float32
    if computed == torch.float32:
        return scaled
    # float32 scales make a float32 product of half precision
    return editor.graph.call_function(torch.ops.aten.to.dtype, (scaled, computed))
