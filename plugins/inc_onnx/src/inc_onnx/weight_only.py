"""Weight-only int4: weights are stored in 4 bits with a scale per group, everything else stays float32.

``MatMulNBits`` of ONNX Runtime at accuracy level 4: it rounds activations to int8 per group while it
runs, and adds up integers. Levels 0 and 1 keep activations in float32, and are 2.3 times slower. Worth its
while where reading weights is what takes time: decoding token by token. Measured with ONNX Runtime 1.32 on
one core (AVX512-VNNI), 4096 x 4096, groups of 128 / 32: 6.8 / 5.5 times float32 at 1 row (dynamic int8:
4.7), 3.6 / 2.5 at 16 rows (4.1); 2048 x 2048 at 128 rows 1.9 / 1.3 (3.8). Zero points cost nothing.
Embeddings (``Gather``) stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto

from inc_core.quant.spec import OpConfig, TensorSpec
from inc_onnx.graph import Graph
from inc_onnx.kernels.gemm import requires_gemm, requires_matmul
from inc_onnx.kernels.table import Kernel
from inc_onnx.writer import MICROSOFT, GraphWriter

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["KERNELS", "pack_int4", "quantize_symmetric", "quantized_groups"]

Array = np.ndarray[Any, Any]

_ACCURACY_LEVEL = 4
# the largest group is the fastest, the smallest the most accurate
_GROUP_SIZES = (128, 64, 32)
# the runtime stores unsigned 4-bit numbers; without zero points it takes this one
_MIDDLE = 8


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write ``MatMulNBits``, and the bias of a ``Gemm`` as an ``Add`` behind it."""
    spec = config.weight
    assert spec is not None and spec.group_size is not None  # every row of this module has both
    transposed = node.op_type == "Gemm" and bool(Graph.attribute(node, "transB", 0))
    inputs, shape = _weight(writer, node.input[1], spec, transposed)
    bias = node.input[2] if node.op_type == "Gemm" and len(node.input) > 2 else ""
    output = node.output[0]
    product = writer.graph.fresh(f"{output}_product") if bias else output
    writer.replace(
        node,
        "MatMulNBits",
        [node.input[0], *inputs],
        product,
        domain=MICROSOFT,
        K=shape[0],
        N=shape[1],
        bits=4,
        block_size=spec.group_size,
        accuracy_level=_ACCURACY_LEVEL,
    )
    if bias:
        writer.graph.add_node("Add", [product, bias], [output])


def pack_int4(values: Array) -> Array:
    """Pack unsigned 4-bit numbers two in a byte along the last dimension, the first in the low bits.

    Args:
        values: uint8 below 16, shape ``(..., n)``.

    Returns:
        uint8 of shape ``(..., ceil(n / 2))``.
    """
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, values.shape[-1] % 2)])
    packed: Array = padded[..., ::2] | (padded[..., 1::2] << 4)
    return packed.astype(np.uint8, copy=False)


def quantize_symmetric(groups: Array) -> tuple[Array, Array]:
    """Quantize groups to ``[-8, 7]`` without zero point, with the extreme of each group at -8.

    The scale takes the sign that puts it there, so that 16 steps are used rather than 15: 1 dB.

    Args:
        groups: float32, shape ``(..., group_size)``.

    Returns:
        int8 of the same shape, and float32 scales of shape ``(...)``.
    """
    largest, smallest = groups.max(axis=-1), groups.min(axis=-1)
    extreme = np.where(largest > -smallest, largest, smallest)
    scale = np.where(extreme == 0, 1, extreme / -_MIDDLE).astype(np.float32)
    q_groups = np.rint(groups / scale[..., None]).clip(-_MIDDLE, _MIDDLE - 1)
    return q_groups.astype(np.int8), scale


def _weight(
    writer: GraphWriter, name: str, spec: TensorSpec, transposed: bool
) -> tuple[list[str], tuple[int, int]]:
    """Add the packed weight; return its names in the op's order, and ``(in, out)``."""
    rows, columns = writer.source.shape(name) or (0, 0)
    assert rows is not None and columns is not None  # initializers have a shape
    parts = writer.weights.once(
        ("packed", name, spec, transposed), lambda: _packed(writer, name, spec, transposed)
    )
    names = [
        writer.constant((name, spec, transposed, part), f"{name}_{part}", values)
        for part, values in parts.items()
    ]
    return names, (columns, rows) if transposed else (rows, columns)


def _packed(writer: GraphWriter, name: str, spec: TensorSpec, transposed: bool) -> dict[str, Array]:
    """Return weight ``(out, groups, bytes)``, scale ``(out * groups,)`` and, if asymmetric, zero points."""
    groups, scale, zero_point = quantized_groups(writer, name, spec, transposed)
    parts = {"int4": pack_int4(groups), "scale": scale.reshape(-1)}
    if zero_point is not None:
        parts["zero_point"] = pack_int4(zero_point).reshape(-1)
    return parts


def quantized_groups(
    writer: GraphWriter, name: str, spec: TensorSpec, transposed: bool
) -> tuple[Array, Array, Array | None]:
    """Quantize a weight in groups, to unsigned numbers.

    Returns:
        uint8 below 16, shape ``(out, groups, group_size)``, the last group filled; float32 scales and
        uint8 zero points, shape ``(out, groups)``; no zero points, that is 8, if symmetric.
    """
    assert spec.group_size is not None  # see emit
    if spec.scheme == "sym":
        values = writer.source.constant(name)
        assert values is not None  # the kernel's requirements ask for a constant weight
        by_column = values if transposed else values.T
        q_groups, scale = quantize_symmetric(_grouped(by_column, spec.group_size))
        return (q_groups + _MIDDLE).astype(np.uint8), scale, None
    quantized = writer.weight(name, spec, axis=0 if transposed else 1)
    arrays = (quantized.q_weight, quantized.qparams.scale, quantized.qparams.zero_point)
    weight, scale, zero_point = (array if transposed else array.T for array in arrays)
    # int8 in [-8, 7] to uint8 in [0, 15]
    unsigned = (weight + np.int8(_MIDDLE)).astype(np.uint8)
    return (
        _grouped(unsigned, spec.group_size),
        np.ascontiguousarray(scale, np.float32),
        (zero_point + _MIDDLE).astype(np.uint8),
    )


def _grouped(by_column: Array, group_size: int) -> Array:
    """Cut ``(out, in)`` into ``(out, groups, group_size)``; the last group is filled with zeros."""
    out, inside = by_column.shape
    padded = np.pad(by_column, [(0, 0), (0, -inside % group_size)])
    return padded.reshape(out, -1, group_size)


_CONFIGS = tuple(
    OpConfig("weight_only", None, TensorSpec("int4", scheme, "per_group", group_size=size))
    for scheme in ("asym", "sym")
    for size in _GROUP_SIZES
)

KERNELS = tuple(
    Kernel(op_type, config, requires, emit)
    for op_type, requires in (("MatMul", requires_matmul), ("Gemm", requires_gemm))
    for config in _CONFIGS
)
