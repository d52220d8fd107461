"""``QParams``: scale and zero point, how they are chosen, how numbers are rounded with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inc_core.errors import CalibrationError
from inc_core.quant.spec import INTEGER_RANGES, TensorSpec

__all__ = ["QParams", "choose_qparams"]

Array = np.ndarray[Any, Any]

# A smaller scale makes 1 / scale or scale products denormal in float32 kernels.
MIN_SCALE = float(np.finfo(np.float32).tiny) * 2**8

# Sub-byte and 7-bit integers are stored in whole bytes.
STORAGE = {True: np.int8, False: np.uint8}


@dataclass(frozen=True)
class QParams:
    """``real = (q - zero_point) * scale``.

    Attributes:
        scale: float32, shape ``()`` per tensor, ``(C,)`` per channel, or for groups the weight's
            shape with the grouped dimension divided by ``group_size`` (rounded up).
        zero_point: int32, same shape.
        dtype: A key of ``INTEGER_RANGES``.
        axis: Dimension of the channels; ``None`` per tensor. With groups: the grouped dimension.
        group_size: Elements along ``axis`` that share a scale; ``None`` without groups.
    """

    scale: Array
    zero_point: Array
    dtype: str
    axis: int | None = None
    group_size: int | None = None

    def quantize(self, values: Array) -> Array:
        """Round half to even and saturate; int8 or uint8 of the shape of ``values``."""
        qmin, qmax = INTEGER_RANGES[self.dtype]
        scale, zero_point = self._broadcast(values.shape)
        # float32 is exact for every integer that is not clipped; in place, for large weights
        q_values = np.asarray(values / scale)
        np.rint(q_values, out=q_values)
        if zero_point.any():
            q_values += zero_point.astype(q_values.dtype)
        np.clip(q_values, qmin, qmax, out=q_values)
        return q_values.astype(STORAGE[qmin < 0])

    def dequantize(self, q_values: Array) -> Array:
        """Return float32 of the shape of ``q_values``."""
        scale, zero_point = self._broadcast(q_values.shape)
        # a product of an integer below 2**24 and a float32 rounds once, here as in kernels
        difference = (q_values.astype(np.int32) - zero_point).astype(np.float32)
        return np.asarray(difference * scale)

    def _broadcast(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        return self._spread(self.scale, shape), self._spread(self.zero_point, shape)

    def _spread(self, array: Array, shape: tuple[int, ...]) -> Array:
        if self.axis is None:
            return array
        if self.group_size is not None:
            spread = np.repeat(array, self.group_size, axis=self.axis)
            return np.take(spread, np.arange(shape[self.axis]), axis=self.axis)
        if array.ndim == 0:
            return array
        channels = [1] * len(shape)
        channels[self.axis] = -1
        return array.reshape(channels)


def choose_qparams(
    lo: Array | float,
    hi: Array | float,
    spec: TensorSpec,
    axis: int | None = None,
    group_size: int | None = None,
) -> QParams:
    """Choose scale and zero point that cover ``[lo, hi]`` and represent 0 exactly.

    Args:
        lo: Smallest observed values, shape ``()`` per tensor or one per channel or group.
        hi: Largest observed values, same shape.
        spec: Target dtype and scheme.
        axis: Stored in the result: which dimension the channels are.
        group_size: Stored in the result.

    Returns:
        ``QParams`` with float32 ``scale`` and int32 ``zero_point`` of the shape of ``lo``. A
        constant-zero tensor gets ``scale == 1``. Symmetric unsigned uses zero point 0 where
        nothing is negative, else the middle.

    Raises:
        CalibrationError: If a bound is not finite, or ``lo > hi`` anywhere.

    Source: Jacob et al. 2018 (arXiv:1712.05877), section 2.1.
    """
    low, high = np.asarray(lo, np.float64), np.asarray(hi, np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise CalibrationError(f"a range must be finite, received [{low!r}, {high!r}]")
    if (low > high).any():
        raise CalibrationError(f"a range must not be empty, received [{low!r}, {high!r}]")
    # zero must stay exact: padding and ReLU outputs depend on it
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    choose = _symmetric if spec.scheme == "sym" else _asymmetric
    scale, zero_point = choose(low, high, spec)
    return QParams(
        scale.astype(np.float32), zero_point.astype(np.int32), spec.dtype, axis, group_size
    )


def _asymmetric(low: Array, high: Array, spec: TensorSpec) -> tuple[Array, Array]:
    scale = _guarded((high - low) / (spec.qmax - spec.qmin))
    zero_point = np.clip(np.rint(spec.qmin - low / scale), spec.qmin, spec.qmax)
    return scale, zero_point


def _symmetric(low: Array, high: Array, spec: TensorSpec) -> tuple[Array, Array]:
    largest = np.maximum(-low, high)
    if spec.qmin < 0:
        return _guarded(largest / spec.qmax), np.zeros_like(largest)
    middle = (spec.qmax + 1) // 2
    signed = low < 0
    scale = np.where(signed, largest / (spec.qmax - middle), largest / spec.qmax)
    return _guarded(scale), np.where(signed, middle, 0)


def _guarded(scale: Array) -> Array:
    """Replace 0 by 1, and keep the rest away from denormal numbers."""
    return np.where(scale == 0.0, 1.0, np.maximum(scale, MIN_SCALE))
