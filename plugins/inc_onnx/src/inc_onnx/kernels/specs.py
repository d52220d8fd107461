"""The configs that ONNX Runtime's fast 8-bit kernels support, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inc_core.quant.spec import OpConfig, TensorSpec
from inc_onnx.kernels.table import Emit, Kernel, Requires
from inc_onnx.processor import multiplies_int8_exactly

__all__ = ["activation_rows", "weighted_rows"]

# uint8 activations only: signed ones leave Q/DQ unfused, or run a QLinearConv 7 times slower than float
_ACTIVATIONS: Mapping[str, tuple[TensorSpec, ...]] = {
    scheme: tuple(
        TensorSpec("uint8", scheme, "per_tensor", algorithm)
        for algorithm in ("minmax", "percentile", "kl", "mse")
    )
    for scheme in ("asym", "sym")
}


def weighted_rows(op_types: Sequence[str], requires: Requires, emit: Emit) -> tuple[Kernel, ...]:
    """Return the rows of ops with an int8 weight: symmetric, per channel before per tensor."""
    dtypes = ("int8",) if multiplies_int8_exactly() else ("int7", "int8")
    weights = [
        TensorSpec(dtype, "sym", granularity)
        for dtype in dtypes
        for granularity in ("per_channel", "per_tensor")
    ]
    return tuple(
        Kernel(op_type, OpConfig("static", activation, weight), requires, emit)
        for op_type in op_types
        for activations in _ACTIVATIONS.values()
        for weight in weights
        for activation in activations
    )


def activation_rows(op_type: str, requires: Requires, emit: Emit) -> tuple[Kernel, ...]:
    """Return the rows of an op without weight."""
    return tuple(
        Kernel(op_type, OpConfig("static", activation), requires, emit)
        for activations in _ACTIVATIONS.values()
        for activation in activations
    )
