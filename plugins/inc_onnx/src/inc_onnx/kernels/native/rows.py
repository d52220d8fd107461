"""``MatMul`` and ``Gemm`` with a constant weight as inc's own operators: dynamic int8, and weight-only int4.

``DynamicLinear`` quantizes each row of its input by itself, exactly on every processor, and adds bias, ReLU
or GELU while results are in registers. ``Int4Linear`` multiplies 4-bit weights by activations in int8,
rounded per row and group as ``MatMulNBits`` does at accuracy level 4. The runtime's own rows stay behind
these in the table, and serve what these do not; so does ``MatMulNBits`` where float16 scales are too coarse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto

from inc_core.quant.spec import OpConfig, TensorSpec
from inc_onnx import dynamic, weight_only
from inc_onnx.graph import Graph
from inc_onnx.kernels.gemm import requires_gemm, requires_matmul
from inc_onnx.kernels.native.library import DOMAIN, load
from inc_onnx.kernels.table import Kernel
from inc_onnx.products import take_bias
from inc_onnx.writer import GraphWriter

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["DYNAMIC", "WEIGHT_ONLY", "pack_int4", "pack_int8"]

Array = np.ndarray[Any, Any]

_COLUMN_BLOCK = 64
# the numbers of inc_kernels.h
_NO_ACTIVATION, _RELU, _GELU, _GELU_TANH = range(4)
_INT8_COMPUTE = 2
# largest magnitudes of a weight whose scales, a fifteenth to an eighth of it, float16 holds to some percent
_SMALLEST, _LARGEST = 2.0**-16, 2.0**18


def emit_dynamic(
    writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration
) -> None:
    """Write ``DynamicLinear``, with the bias and the activation behind the product."""
    spec = config.weight
    assert spec is not None  # every row of this module has one
    names, columns = _int8_weight(writer, node, spec)
    bias, output = take_bias(writer, node)
    activation, output = _take_activation(writer, output)
    inputs = [node.input[0], *names, *([bias] if bias else [])]
    writer.replace(
        node,
        "DynamicLinear",
        inputs,
        output,
        domain=DOMAIN,
        out_features=columns,
        activation=activation,
    )


def emit_int4(
    writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration
) -> None:
    """Write ``Int4Linear``, with the bias behind the product; ``MatMulNBits`` for vanishing weights."""
    spec = config.weight
    assert spec is not None and spec.group_size is not None  # every row of this module has both
    if not _has_float16_scales(writer, node):
        weight_only.emit(writer, node, config, calibration)
        return
    names, columns = _int4_weight(writer, node, spec)
    bias, output = take_bias(writer, node)
    inputs = [node.input[0], *names, *([bias] if bias else [])]
    while not inputs[-1]:
        inputs.pop()
    writer.replace(
        node,
        "Int4Linear",
        inputs,
        output,
        domain=DOMAIN,
        out_features=columns,
        group_size=spec.group_size,
        compute=_INT8_COMPUTE,
    )


def pack_int8(q_weight: Array) -> tuple[Array, Array]:
    """Pack an int8 weight ``(out, in)``; return it and the int32 sums of its rows, padded to 64."""
    library = load()
    columns, inside = q_weight.shape
    q_weight = np.ascontiguousarray(q_weight, np.int8)
    packed = np.empty(library.inc_int8_packed_size(inside, columns), np.int8)
    sums = np.empty(_padded(columns), np.int32)
    library.inc_int8_pack(
        q_weight.ctypes.data, inside, columns, packed.ctypes.data, sums.ctypes.data
    )
    return packed, sums


def pack_int4(q: Array, scale: Array, zero_point: Array | None, group_size: int) -> list[Array]:
    """Pack a 4-bit weight.

    Args:
        q: uint8 below 16, shape ``(out, in)``.
        scale: float32, shape ``(out, groups)``; stored as float16.
        zero_point: uint8 below 16, shape ``(out, groups)``; ``None`` stands for 8.
        group_size: Inputs of one scale, a multiple of 32.

    Returns:
        Weight, scales and, if there are, zero points, as the operator takes them.
    """
    library = load()
    columns, inside = q.shape
    groups = scale.shape[1]
    q, scale = np.ascontiguousarray(q, np.uint8), np.ascontiguousarray(scale, np.float32)
    packed = np.empty(library.inc_int4_packed_size(inside, columns, group_size), np.uint8)
    library.inc_int4_pack(q.ctypes.data, inside, columns, group_size, packed.ctypes.data)
    scales = np.empty((groups, _padded(columns)), np.float16)
    zeros = None
    if zero_point is not None:
        zero_point = np.ascontiguousarray(zero_point, np.uint8)
        zeros = np.empty(scales.shape, np.uint8)
    pointers = [None if a is None else a.ctypes.data for a in (zero_point, scales, zeros)]
    library.inc_int4_pack_scales(
        scale.ctypes.data, pointers[0], groups, columns, pointers[1], pointers[2]
    )
    return [packed, scales] if zeros is None else [packed, scales, zeros]


def _has_float16_scales(writer: GraphWriter, node: NodeProto) -> bool:
    weight = writer.source.constant(node.input[1])
    assert weight is not None  # see requires_matmul and requires_gemm
    largest = float(np.abs(weight).max(initial=0.0))
    return largest == 0.0 or _SMALLEST <= largest <= _LARGEST


def _padded(columns: int) -> int:
    return columns + -columns % _COLUMN_BLOCK


def _is_transposed(node: NodeProto) -> bool:
    return node.op_type == "Gemm" and bool(Graph.attribute(node, "transB", 0))


def _int8_weight(writer: GraphWriter, node: NodeProto, spec: TensorSpec) -> tuple[list[str], int]:
    """Add the packed weight, its sums and scales; return their names and the number of columns."""
    name, transposed = node.input[1], _is_transposed(node)
    quantized = writer.weight(name, spec, axis=0 if transposed else 1)
    by_column = quantized.q_weight if transposed else quantized.q_weight.T
    columns = by_column.shape[0]
    packed, sums = writer.weights.once(
        ("native int8", name, spec, transposed), lambda: pack_int8(by_column)
    )
    scale = np.broadcast_to(np.asarray(quantized.qparams.scale, np.float32), (columns,))
    parts = {"packed": packed, "column_sums": sums, "scales": np.ascontiguousarray(scale)}
    return _add(writer, (name, spec, transposed), parts), columns


def _int4_weight(writer: GraphWriter, node: NodeProto, spec: TensorSpec) -> tuple[list[str], int]:
    """Add the packed weight with scales and zero points; return their names, ``""`` for none."""
    name, transposed = node.input[1], _is_transposed(node)
    rows, columns = writer.source.shape(name) or (0, 0)
    inside, outside = (columns, rows) if transposed else (rows, columns)
    assert isinstance(inside, int) and isinstance(outside, int)  # initializers have a shape
    assert spec.group_size is not None  # see emit_int4

    def packed() -> list[Array]:
        groups, scale, zero_point = weight_only.quantized_groups(writer, name, spec, transposed)
        q = groups.reshape(outside, -1)[:, :inside]
        return pack_int4(q, scale, zero_point, spec.group_size or 0)

    arrays = writer.weights.once(("native int4", name, spec, transposed), packed)
    parts = dict(zip(("packed", "scales", "zero_points"), arrays, strict=False))
    names = _add(writer, (name, spec, transposed), parts)
    return [*names, *[""] * (3 - len(names))], outside


def _add(writer: GraphWriter, key: tuple[Any, ...], parts: dict[str, Array]) -> list[str]:
    return [
        writer.constant((*key, "native", part), f"{key[0]}_{part}", values)
        for part, values in parts.items()
    ]


def _take_activation(writer: GraphWriter, tensor: str) -> tuple[int, str]:
    """Return the number of the activation behind a tensor and the tensor behind it; it is removed."""
    node = writer.graph.only_consumer(tensor)
    if node is None or tensor in writer.graph.outputs or writer.plan.is_static(node):
        return _NO_ACTIVATION, tensor
    approximate = Graph.attribute(node, "approximate", "none")
    numbers = {"Relu": _RELU, "Gelu": _GELU_TANH if approximate == "tanh" else _GELU}
    if node.op_type not in numbers or len(node.input) != 1:
        return _NO_ACTIVATION, tensor
    output = node.output[0]
    writer.graph.remove(node)
    return numbers[node.op_type], output


_OPS = (("MatMul", requires_matmul), ("Gemm", requires_gemm))

# exact on every processor: 8 bits first, where the runtime's own kernels begin with 7 on some
_INT8_FIRST = sorted(
    {kernel.config: None for kernel in dynamic.KERNELS},
    key=lambda config: config.weight is not None and config.weight.dtype != "int8",
)
DYNAMIC = tuple(
    Kernel(op_type, config, requires, emit_dynamic)
    for op_type, requires in _OPS
    for config in _INT8_FIRST
)

WEIGHT_ONLY = tuple(
    Kernel(op_type, config, requires, emit_int4)
    for op_type, requires in _OPS
    for config in {kernel.config: None for kernel in weight_only.KERNELS}
)
