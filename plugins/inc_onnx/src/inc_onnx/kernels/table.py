"""The kernel table: one row for each way to run an op type, and the rows that may serve a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from onnx import NodeProto

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.spec import OpConfig
from inc_onnx.graph import Graph
from inc_onnx.kernels.native.library import wanted

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration
    from inc_onnx.writer import GraphWriter

__all__ = ["Emit", "Kernel", "Requires", "kernel_table"]

Requires = Callable[[Graph, NodeProto], "str | None"]
Emit = Callable[["GraphWriter", NodeProto, OpConfig, "Calibration"], None]


@dataclass(frozen=True)
class Kernel:
    """One way to run an op type.

    Attributes:
        op_type: Type of the ONNX node.
        config: The config under which a recipe names this kernel.
        requires: Says why a node does not fit, in words for the user; ``None`` if it fits.
        emit: Writes the quantized form of the node in place of it, into ``writer.graph``.
    """

    op_type: str
    config: OpConfig
    requires: Requires
    emit: Emit


# each module has KERNELS, a tuple of rows, best first
_MODULES_BY_APPROACH: Mapping[str, tuple[str, ...]] = {
    "static": ("inc_onnx.kernels.static",),
    "dynamic": ("inc_onnx.dynamic",),
    "auto": ("inc_onnx.kernels.static", "inc_onnx.dynamic"),
    "weight_only": ("inc_onnx.weight_only",),
}
# inc's own operators, in front of the runtime's where the user asks for them
_NATIVE = "inc_onnx.kernels.native.rows"
_NATIVE_BY_APPROACH = {
    "dynamic": "DYNAMIC",
    "auto": "DYNAMIC",
    "weight_only": "WEIGHT_ONLY",
}
# float modes beside fp32, offered in every approach
_ALWAYS = ("inc_onnx.float16",)


def kernel_table(context: AdaptorContext) -> tuple[Kernel, ...]:
    """Return the rows for a run's framework name and approach, best first."""
    approach = "dynamic" if context.framework == "onnxrt_integerops" else context.approach
    rows: list[Kernel] = []
    if wanted(context.recipes) and approach in _NATIVE_BY_APPROACH:
        rows.extend(getattr(import_module(_NATIVE), _NATIVE_BY_APPROACH[approach]))
    for module in (*_MODULES_BY_APPROACH.get(approach, ()), *_ALWAYS):
        rows.extend(import_module(module).KERNELS)
    return tuple(rows)
