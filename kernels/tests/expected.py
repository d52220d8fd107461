"""What each kernel must compute, in numpy: integers exactly, floats in float64."""

from __future__ import annotations

import math

import numpy as np

TINY = np.finfo(np.float32).tiny


def quantize_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """uint8 values, scales and zero points of finite rows, in the float32 steps of the contract."""
    lo = np.minimum(x.min(1), 0).astype(np.float32)
    hi = np.maximum(x.max(1), 0).astype(np.float32)
    scales = (hi - lo) / np.float32(255)
    scales[scales < TINY] = 1
    inverse = np.float32(1) / scales
    zeros = np.rint(-lo * inverse).astype(np.int32)
    q = np.clip(np.rint(x * inverse[:, None]).astype(np.int32) + zeros[:, None], 0, 255)
    return q.astype(np.uint8), scales, zeros


def dynamic_linear(x, q_weight, scales, bias, activation) -> np.ndarray:
    """Exact integer sums of the quantized rows, then float64."""
    q, row_scales, zeros = quantize_rows(x)
    sums = (q.astype(np.int64) - zeros[:, None]) @ q_weight.T.astype(np.int64)
    y = sums * (row_scales[:, None].astype(np.float64) * scales)
    return activate(y + (0 if bias is None else bias), activation)


def static_linear(q, scale, zero_point, q_weight, scales, bias, activation, addend) -> np.ndarray:
    """Exact integer sums, then float64; not rounded."""
    sums = (q.astype(np.int64) - zero_point) @ q_weight.T.astype(np.int64)
    y = activate(sums * (np.float64(scale) * scales) + (0 if bias is None else bias), activation)
    return y + (0 if addend is None else addend)


def quantize_groups(x: np.ndarray, group_size: int) -> tuple[np.ndarray, np.ndarray]:
    """int8 values (m, groups, group_size) and scales (m, groups), zero beyond the row."""
    m, k = x.shape
    groups = np.pad(x, ((0, 0), (0, -k % group_size))).reshape(m, -1, group_size)
    scales = np.abs(groups).max(2) / np.float32(127)
    inverse = np.where(scales >= TINY, np.float32(1) / np.maximum(scales, TINY), np.float32(0))
    return np.rint(groups * inverse[..., None]).astype(np.int32), scales


def int4_linear(x, weight: np.ndarray, group_size: int, compute: str, bias) -> np.ndarray:
    """``weight``: what the 4-bit weight stands for, float64, shape (n, k)."""
    if compute == "int8":
        values, scales = quantize_groups(x, group_size)
        x = (values * scales[..., None].astype(np.float64)).reshape(len(x), -1)[:, : x.shape[1]]
    elif compute == "bf16":
        x = to_bf16(x)
    return x.astype(np.float64) @ weight.T + (0 if bias is None else bias)


def to_bf16(x: np.ndarray) -> np.ndarray:
    bits = x.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)


def activate(y: np.ndarray, activation: str) -> np.ndarray:
    y = y.astype(np.float64)
    if activation == "relu":
        return np.maximum(y, 0)
    if activation == "gelu":
        return 0.5 * y * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
    if activation == "gelu_tanh":
        return 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    if activation == "silu":
        return y / (1 + np.exp(-np.clip(y, -700, 700)))
    return y


def quantize(x: np.ndarray, scale: float, zero_point: int, signed: bool) -> np.ndarray:
    lo, hi = (-128, 127) if signed else (0, 255)
    steps = np.nan_to_num(x * (np.float32(1) / np.float32(scale)), nan=0.0)
    q = np.clip(np.rint(np.clip(steps, -1e6, 1e6)) + zero_point, lo, hi)
    return q.astype(np.int8 if signed else np.uint8)
