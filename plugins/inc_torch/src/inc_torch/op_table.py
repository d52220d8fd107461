"""The op table: one row for each way to run an op type, and the rows that may serve a run.

``capabilities`` is generated from it and ``quantize`` builds from it, so what is offered can be built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from torch import fx

from inc_core.errors import ConfigError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.spec import OpConfig

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration
    from inc_torch.editing import Editor

__all__ = ["Emit", "Requires", "Row", "op_table"]

Requires = Callable[[fx.GraphModule, fx.Node], "str | None"]
Emit = Callable[["Editor", fx.Node, OpConfig, "Calibration"], None]


@dataclass(frozen=True)
class Row:
    """One way to run an op type.

    Attributes:
        op_type: As ``naming.op_type`` says it.
        config: The config under which a recipe names this row.
        requires: Says why a node does not fit, in words for the user; ``None`` if it fits.
        emit: Replaces the node by its quantized form; ``None`` for static ops, which
            ``inc_torch.static`` lowers together.
    """

    op_type: str
    config: OpConfig
    requires: Requires
    emit: Emit | None = None


# each module has ROWS, a function of no arguments that gives its rows, best first
_MODULES_BY_APPROACH: Mapping[str, tuple[str, ...]] = {
    "static": ("inc_torch.rows.static",),
    "qat": ("inc_torch.rows.static",),
    "dynamic": ("inc_torch.rows.dynamic",),
    "auto": ("inc_torch.rows.static", "inc_torch.rows.dynamic"),
    "weight_only": ("inc_torch.rows.weight_only",),
}
# static int8 has kernels on the CPU alone
_MODULES_ON_GPU: Mapping[str, tuple[str, ...]] = {
    "dynamic": ("inc_torch.rows.dynamic", "inc_torch.rows.float8"),
    "auto": ("inc_torch.rows.dynamic", "inc_torch.rows.float8"),
    "weight_only": ("inc_torch.rows.weight_only",),
}
# float modes beside fp32, offered in every approach
_ALWAYS = ("inc_torch.rows.bf16",)


def op_table(context: AdaptorContext) -> tuple[Row, ...]:
    """Return the rows for a run's approach and device, best first.

    Raises:
        ConfigError: If the device has no kernels for the approach.
    """
    modules = _MODULES_ON_GPU if context.device == "gpu" else _MODULES_BY_APPROACH
    if context.approach not in modules:
        raise ConfigError(
            f"quantization.approach: {context.approach} has no kernels on device: {context.device}; "
            f"there are {', '.join(modules)}. Change the approach, or say device: cpu."
        )
    found: list[Row] = []
    for module in (*modules[context.approach], *_ALWAYS):
        found.extend(import_module(module).rows())
    return tuple(found)
