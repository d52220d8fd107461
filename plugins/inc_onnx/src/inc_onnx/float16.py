"""Half-precision float modes, offered only where the runtime has kernels that compute in them.

ONNX Runtime's CPU kernels on x86 have none: it casts float16 weights to float32 when the session is
made, and then runs the float32 kernel at the same speed (measured with 1.32: ratio 1.01), and it refuses
a bfloat16 ``MatMul``. So nothing is offered there. Builds for ARM64 have float16 kernels of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from inc_core.quant.spec import Mode, OpConfig
from inc_onnx.graph import Graph
from inc_onnx.kernels.table import Kernel
from inc_onnx.writer import GraphWriter

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["KERNELS", "emit", "runs_natively"]

_OP_TYPES = ("Conv", "Gemm", "MatMul")
_MODES: Mapping[Mode, str] = {"fp16": "tensor(float16)", "bf16": "tensor(bfloat16)"}
_ELEMENT_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_LARGEST = {"fp16": 65504.0, "bf16": float(np.finfo(np.float32).max)}


def runs_natively(op_type: str, mode: Mode) -> bool:
    """Whether the CPU runtime has a kernel for an op type in ``"fp16"`` or ``"bf16"``."""
    return (op_type, _MODES[mode]) in _native_kernels()


def requires(graph: Graph, node: NodeProto) -> str | None:
    """A float32 op whose constants fit into half precision."""
    if not all(graph.is_float(name) for name in node.input if name):
        return "its inputs are not all float32"
    constants = (graph.constant(name) for name in node.input if name)
    if any(c is not None and np.abs(c).max(initial=0) > _LARGEST["fp16"] for c in constants):
        return "a constant is too large for float16"
    return None


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write the op between casts; constants are stored in half precision."""
    element_type = _ELEMENT_TYPES[config.mode]
    inputs = [_cast(writer, name, element_type) if name else "" for name in node.input]
    output = node.output[0]
    half = writer.graph.fresh(f"{output}_{config.mode}")
    writer.graph.set_inputs(node, inputs)
    writer.graph.set_outputs(node, [half])
    writer.graph.add_node("Cast", [half], [output], to=TensorProto.FLOAT)


def _cast(writer: GraphWriter, tensor: str, element_type: int) -> str:
    values = writer.source.constant(tensor)
    if values is None:
        output = writer.graph.fresh(f"{tensor}_half")
        writer.graph.add_node("Cast", [tensor], [output], to=element_type)
        return output
    if element_type == TensorProto.FLOAT16:
        proto = numpy_helper.from_array(values.astype(np.float16), tensor)
    else:
        proto = helper.make_tensor(tensor, element_type, values.shape, values.ravel().tolist())
    return writer.graph.add_constant(f"{tensor}_half", proto)


@lru_cache(maxsize=1)
def _native_kernels() -> frozenset[tuple[str, str]]:
    """Return the op types and element types of the CPU kernels, as the runtime registers them."""
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import get_all_opkernel_def
    except ImportError:  # a build without the registry's listing: nothing can be promised
        return frozenset()
    return frozenset(
        (kernel.op_name, element_type)
        for kernel in get_all_opkernel_def()
        if kernel.provider == "CPUExecutionProvider" and kernel.op_name in _OP_TYPES
        for element_type in kernel.type_constraints.get("T", ())
    )


KERNELS = tuple(
    Kernel(op_type, OpConfig(mode), requires, emit)
    for op_type in _OP_TYPES
    for mode in _MODES
    if runs_natively(op_type, mode)
)
