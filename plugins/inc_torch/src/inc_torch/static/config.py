"""What the caller decides about one op, and the checks that the kernels need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inc_core.errors import QuantizationError
from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import INTEGER_RANGES, TensorSpec

__all__ = ["Scale", "StaticConfig", "check_activation", "check_weight", "cover"]

_ASYMMETRIC = TensorSpec("uint8", "asym")


@dataclass(frozen=True)
class StaticConfig:
    """Run one node of the graph in static int8.

    Attributes:
        weight: Of a convolution or linear: int8, symmetric, per channel along axis 0 or per tensor.
            ``None`` for an addition, which has no weight.
    """

    weight: QParams | None = None


@dataclass(frozen=True)
class Scale:
    """Quantization of one u8 tensor in plain numbers, as graph arguments need it."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, name: str, qparams: QParams) -> Scale:
        """Convert checked ``qparams`` of the tensor called ``name``."""
        check_activation(name, qparams)
        # torch's packed convolutions take the reciprocal of a reciprocal: a scale that survives that gives
        # the same integers in every form of a graph. It moves by one unit in the last place at most.
        inverse = np.float32(1.0) / np.float32(qparams.scale)
        return cls(float(np.float32(1.0) / inverse), int(qparams.zero_point))

    @property
    def lowest(self) -> float:
        """Smallest real value that u8 can hold."""
        return -self.zero_point * self.scale

    @property
    def highest(self) -> float:
        """Largest real value that u8 can hold."""
        return (255 - self.zero_point) * self.scale


def check_activation(name: str, qparams: QParams) -> None:
    """Raise unless ``qparams`` are u8 per tensor: all that oneDNN runs fast.

    Raises:
        QuantizationError: For other dtypes or a scale per channel.
    """
    if qparams.dtype != "uint8":
        raise QuantizationError(
            f"activation {name!r}: dtype {qparams.dtype!r} cannot run. oneDNN has fast kernels for"
            " uint8 activations only; int8 ones would run a reference kernel, thousands of times"
            " slower. Use TensorSpec('uint8', ...)."
        )
    if np.ndim(qparams.scale) != 0:
        raise QuantizationError(
            f"activation {name!r}: one scale per tensor is needed, received"
            f" {np.size(qparams.scale)}. Use granularity 'per_tensor'."
        )


def check_weight(name: str, qparams: QParams, channels: int) -> None:
    """Raise unless ``qparams`` are signed, symmetric, per tensor or per output channel.

    Raises:
        QuantizationError: For anything else.
    """
    signed = INTEGER_RANGES.get(qparams.dtype, (0, 0))[0] < 0
    if not signed or np.any(qparams.zero_point != 0) or qparams.group_size is not None:
        raise QuantizationError(
            f"weight of {name!r}: oneDNN needs signed symmetric int8 without groups, received"
            f" {qparams.dtype!r}, zero points {np.unique(qparams.zero_point)[:4].tolist()}, group size"
            f" {qparams.group_size}. Use TensorSpec('int8', 'sym', 'per_channel')."
        )
    per_channel = np.ndim(qparams.scale) == 1 and len(qparams.scale) == channels
    if np.ndim(qparams.scale) != 0 and not (per_channel and qparams.axis == 0):
        raise QuantizationError(
            f"weight of {name!r}: scales must be one per output channel ({channels}, axis 0),"
            f" received shape {np.shape(qparams.scale)} on axis {qparams.axis}."
        )


def cover(name: str, qparams: Mapping[str, QParams]) -> Scale:
    """Return one scale for tensors that must share it: their common one, or one that covers all.

    Args:
        name: Of the tensor that joins them, for messages.
        qparams: Of each tensor, not empty.
    """
    scales = {Scale.of(tensor, one) for tensor, one in qparams.items()}
    if len(scales) == 1:
        return scales.pop()
    low, high = min(s.lowest for s in scales), max(s.highest for s in scales)
    return Scale.of(name, choose_qparams(low, high, _ASYMMETRIC))
