"""The kernels from numpy, through ctypes: what the tests call. No framework."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import build_native  # noqa: E402  (not a package: it is copied beside each setup.py)

ISAS = ("scalar", "avx2", "avx512_vnni")
ACTIVATIONS = ("none", "relu", "gelu", "gelu_tanh", "silu")
COMPUTES = ("fp32", "bf16", "int8")

SIZE, INT, PTR, FLOAT = ctypes.c_size_t, ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
C_INT, ZERO_POINT = ctypes.c_int, ctypes.c_int32

SIGNATURES = {
    "inc_int8_packed_size": (SIZE, [INT, INT]),
    "inc_int8_pack": (None, [PTR, INT, INT, PTR, PTR]),
    "inc_dynamic_scratch_size": (SIZE, [INT, INT]),
    "inc_dynamic_quantize": (None, [PTR, INT, INT, INT, PTR, INT, INT]),
    "inc_dynamic_linear": (
        None,
        [PTR, INT, INT, PTR, PTR, PTR, PTR, C_INT, INT, PTR, INT, INT, INT, INT, INT],
    ),
    "inc_static_linear": (
        None,
        [PTR, INT, FLOAT, ZERO_POINT, PTR, PTR, PTR, PTR, C_INT, PTR, FLOAT, ZERO_POINT, INT, PTR]
        + [INT] * 4,
    ),
    "inc_int4_packed_size": (SIZE, [INT, INT, INT]),
    "inc_int4_pack": (None, [PTR, INT, INT, INT, PTR]),
    "inc_int4_pack_scales": (None, [PTR, PTR, INT, INT, PTR, PTR]),
    "inc_int4_scratch_size": (SIZE, [INT, INT, INT]),
    "inc_int4_prepare": (None, [PTR, INT, INT, INT, INT, C_INT, PTR, INT, INT]),
    "inc_int4_linear": (
        None,
        [PTR, INT, INT, INT, C_INT, PTR, PTR, PTR, PTR, INT, PTR, INT, INT, INT],
    ),
    "inc_quantize": (None, [PTR, INT, FLOAT, ZERO_POINT, C_INT, PTR]),
    "inc_dequantize": (None, [PTR, INT, FLOAT, ZERO_POINT, C_INT, PTR]),
    "inc_layer_norm_quantize": (
        None,
        [PTR, INT, PTR, PTR, FLOAT, FLOAT, ZERO_POINT, C_INT, PTR, PTR, INT, INT],
    ),
}


def load() -> ctypes.CDLL:
    """Build the kernels, with sanitizers under ``INC_SANITIZE=1``, and load them."""
    sanitize = os.environ.get("INC_SANITIZE") == "1"
    folder = ROOT.parent / "build" / ("kernels-sanitized" if sanitize else "kernels")
    output = folder / f"libinc_kernels{build_native.SUFFIX}"
    build_native.compile_library(ROOT, output, sanitize=sanitize)
    library = ctypes.CDLL(str(output))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def pointer(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def padded(n: int) -> int:
    return -(-n // 64) * 64


class Int8Weight(NamedTuple):
    packed: np.ndarray
    column_sums: np.ndarray


class Int4Weight(NamedTuple):
    packed: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray | None
    group_size: int


class Kernels:
    """Each kernel as a function of arrays; ``columns`` and ``rows`` split the work as a pool would."""

    def __init__(self) -> None:
        self.library = load()

    def use(self, isa: str) -> bool:
        """Switch to an instruction set; False if this CPU lacks it."""
        number = ISAS.index(isa)
        return self.library.inc_set_isa(number) == number

    def pack_int8(self, q: np.ndarray) -> Int8Weight:
        n, k = q.shape
        packed = np.empty(self.library.inc_int8_packed_size(k, n), np.int8)
        sums = np.empty(padded(n), np.int32)
        self.library.inc_int8_pack(pointer(q), k, n, pointer(packed), pointer(sums))
        return Int8Weight(packed, sums)

    def dynamic_scratch(self, x: np.ndarray) -> np.ndarray:
        m, k = x.shape
        scratch = np.empty(self.library.inc_dynamic_scratch_size(m, k), np.uint8)
        stride = x.strides[0] // x.itemsize
        self.library.inc_dynamic_quantize(pointer(x), stride, m, k, pointer(scratch), 0, m)
        return scratch

    def quantized_rows(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The uint8 activations, scales and zero points that ``dynamic_linear`` multiplies."""
        m, k = x.shape
        scratch = self.dynamic_scratch(x)
        rows = scratch[: m * 8].view(np.dtype([("scale", np.float32), ("zero", np.int32)]))
        start = -(-m * 8 // 64) * 64
        q = scratch[start:].reshape(m, -1)
        assert not q[:, k:].any(), "the padding must be zero"
        return q[:, :k], rows["scale"], rows["zero"]

    def dynamic_linear(
        self,
        x: np.ndarray,
        weight: Int8Weight,
        scales: np.ndarray,
        bias: np.ndarray | None = None,
        activation: str = "none",
        columns: tuple[int, ...] = (),
        rows: tuple[int, ...] = (),
    ) -> np.ndarray:
        m, k = x.shape
        n = len(scales)
        y = np.full((m, n), np.nan, np.float32)
        scratch = self.dynamic_scratch(x)
        for (m0, m1), (n0, n1) in _parts(rows, m, columns, n):
            self.library.inc_dynamic_linear(
                pointer(scratch),
                m,
                k,
                pointer(weight.packed),
                pointer(weight.column_sums),
                pointer(scales),
                pointer(bias),
                ACTIVATIONS.index(activation),
                n,
                pointer(y),
                n,
                m0,
                m1,
                n0,
                n1,
            )
        return y

    def static_linear(
        self,
        q: np.ndarray,
        scale: float,
        zero_point: int,
        weight: Int8Weight,
        scales: np.ndarray,
        bias: np.ndarray | None = None,
        activation: str = "none",
        addend: np.ndarray | None = None,
        to: tuple[float, int] | None = None,
        columns: tuple[int, ...] = (),
        rows: tuple[int, ...] = (),
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """``to``: scale and zero point of a uint8 result; without them it is float32."""
        m, k = q.shape
        n = len(scales)
        if out is None:
            out = np.full((m, n), np.nan, np.float32) if to is None else np.empty((m, n), np.uint8)
        for (m0, m1), (n0, n1) in _parts(rows, m, columns, n):
            self.library.inc_static_linear(
                pointer(q),
                k,
                scale,
                zero_point,
                pointer(weight.packed),
                pointer(weight.column_sums),
                pointer(scales),
                pointer(bias),
                ACTIVATIONS.index(activation),
                pointer(addend),
                *(to or (0.0, 0)),
                n,
                pointer(out),
                m0,
                m1,
                n0,
                n1,
            )
        return out

    def pack_int4(
        self, q: np.ndarray, scales: np.ndarray, zero_points: np.ndarray | None, group_size: int
    ) -> Int4Weight:
        n, k = q.shape
        groups = scales.shape[1]
        packed = np.empty(self.library.inc_int4_packed_size(k, n, group_size), np.uint8)
        self.library.inc_int4_pack(pointer(q), k, n, group_size, pointer(packed))
        halves = np.empty((groups, padded(n)), np.float16)
        zeros = None if zero_points is None else np.empty((groups, padded(n)), np.uint8)
        self.library.inc_int4_pack_scales(
            pointer(scales), pointer(zero_points), groups, n, pointer(halves), pointer(zeros)
        )
        return Int4Weight(packed, halves, zeros, group_size)

    def int4_linear(
        self,
        x: np.ndarray,
        weight: Int4Weight,
        n: int,
        compute: str,
        bias: np.ndarray | None = None,
        columns: tuple[int, ...] = (),
    ) -> np.ndarray:
        m, k = x.shape
        group_size, number = weight.group_size, COMPUTES.index(compute)
        y = np.full((m, n), np.nan, np.float32)
        scratch = np.empty(self.library.inc_int4_scratch_size(m, k, group_size), np.uint8)
        stride = x.strides[0] // x.itemsize
        self.library.inc_int4_prepare(
            pointer(x), stride, m, k, group_size, number, pointer(scratch), 0, m
        )
        for n0, n1 in _ranges(columns, padded(n)):
            self.library.inc_int4_linear(
                pointer(scratch),
                m,
                k,
                group_size,
                number,
                pointer(weight.packed),
                pointer(weight.scales),
                pointer(weight.zero_points),
                pointer(bias),
                n,
                pointer(y),
                n,
                n0,
                n1,
            )
        return y

    def quantize(
        self,
        x: np.ndarray,
        scale: float,
        zero_point: int,
        signed: bool,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        q = np.empty(x.shape, np.int8 if signed else np.uint8) if out is None else out
        self.library.inc_quantize(pointer(x), x.size, scale, zero_point, signed, pointer(q))
        return q

    def dequantize(self, q: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
        y = np.empty(q.shape, np.float32)
        signed = q.dtype == np.int8
        self.library.inc_dequantize(pointer(q), q.size, scale, zero_point, signed, pointer(y))
        return y

    def layer_norm_quantize(
        self,
        x: np.ndarray,
        weight: np.ndarray | None,
        bias: np.ndarray | None,
        epsilon: float,
        scale: float,
        zero_point: int,
        signed: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        m, k = x.shape
        q = np.empty(x.shape, np.int8 if signed else np.uint8)
        y = np.empty(x.shape, np.float32)
        self.library.inc_layer_norm_quantize(
            pointer(x),
            k,
            pointer(weight),
            pointer(bias),
            epsilon,
            scale,
            zero_point,
            signed,
            pointer(q),
            pointer(y),
            0,
            m,
        )
        return q, y


def _ranges(inner: tuple[int, ...], end: int) -> list[tuple[int, int]]:
    return list(itertools.pairwise([0, *inner, end]))


def _parts(
    rows: tuple[int, ...], m: int, columns: tuple[int, ...], n: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return list(itertools.product(_ranges(rows, m), _ranges(columns, padded(n))))
