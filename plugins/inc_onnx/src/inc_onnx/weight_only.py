"""Weight-only int4: weights are stored in 4 bits with a scale per group, everything else stays float32.

``MatMulNBits`` of ONNX Runtime at accuracy level 4: it rounds activations to int8 per group while it
runs, and adds up integers. Levels 0 and 1 keep activations in float32, and are 2.3 times slower. Worth its
while where reading weights is what takes time: decoding token by token. At 128 rows it is as fast
as float32. Embeddings (``Gather``) stay as they are.
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

__all__ = ["KERNELS", "pack_int4"]

Array = np.ndarray[Any, Any]

_ACCURACY_LEVEL = 4
_GROUP_SIZES = (32, 64, 128)
# the runtime stores unsigned 4-bit numbers; without zero points it takes this one
_MIDDLE = 8


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write ``MatMulNBits``, and the bias of a ``Gemm`` as an ``Add`` behind it."""
    spec = config.weight
    assert spec is not None and spec.group_size is not None  # every row of this module has both
    transposed = node.op_type == "Gemm" and bool(Graph.attribute(node, "transB", 0))
    inputs, shape = _weight(writer, node, spec, transposed)
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
    return (padded[..., ::2] | (padded[..., 1::2] << 4)).astype(np.uint8)


def _weight(
    writer: GraphWriter, node: NodeProto, spec: TensorSpec, transposed: bool
) -> tuple[list[str], tuple[int, int]]:
    """Add the packed weight; return its names in the op's order, and ``(in, out)``."""
    name = node.input[1]
    quantized = writer.weight(name, spec, axis=0 if transposed else 1)
    rows, columns = quantized.q_weight.shape
    shape = (columns, rows) if transposed else (rows, columns)
    packed, scales, zeros = writer.weights.once(
        ("packed", name, spec, transposed),
        lambda: _packed(quantized.q_weight, quantized.qparams, spec, transposed),
    )
    key = (name, spec, transposed)
    names = [
        writer.constant((*key, "packed"), f"{name}_int4", packed),
        writer.constant((*key, "scale"), f"{name}_scale", scales),
    ]
    if zeros is not None:
        names.append(writer.constant((*key, "zero"), f"{name}_zero_point", zeros))
    return names, shape


def _packed(
    q_weight: Array, qparams: Any, spec: TensorSpec, transposed: bool
) -> tuple[Array, Array, Array | None]:
    """Return weight ``(out, groups, bytes)``, scales ``(out * groups,)`` and zero points or ``None``."""
    assert spec.group_size is not None  # see emit
    by_column = (array if transposed else array.T for array in (q_weight, qparams.scale))
    weight, scale = by_column
    out, inside = weight.shape
    groups = scale.shape[1]
    unsigned = np.full((out, groups * spec.group_size), _MIDDLE, np.uint8)
    unsigned[:, :inside] = weight.astype(np.int16) + _MIDDLE
    packed = pack_int4(unsigned.reshape(out, groups, spec.group_size))
    scales = np.ascontiguousarray(scale, np.float32).reshape(-1)
    if spec.scheme == "sym":
        return packed, scales, None
    zero_point = qparams.zero_point if transposed else qparams.zero_point.T
    zeros = pack_int4((zero_point + _MIDDLE).astype(np.uint8))
    return packed, scales, zeros.reshape(-1)


_CONFIGS = tuple(
    OpConfig("weight_only", None, TensorSpec("int4", scheme, "per_group", group_size=size))
    for size in _GROUP_SIZES
    for scheme in ("asym", "sym")
)

KERNELS = tuple(
    Kernel(op_type, config, requires, emit)
    for op_type, requires in (("MatMul", requires_matmul), ("Gemm", requires_gemm))
    for config in _CONFIGS
)
