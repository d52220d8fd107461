"""Quantize, dequantize, and LayerNorm before quantize."""

from __future__ import annotations

import expected
import numpy as np
import pytest
from binding import Kernels
from test_dynamic_linear import shifted

SIGNED = pytest.mark.parametrize("signed", [False, True], ids=["uint8", "int8"])
SIZES = [1, 7, 8, 9, 15, 16, 17, 31, 64, 1000, 4099]


@SIGNED
@pytest.mark.parametrize("size", SIZES)
def test_quantize_gives_the_same_integers_on_every_set(kernels: Kernels, size, signed):
    x = np.random.default_rng(size).standard_normal(size, dtype=np.float32) * 3
    zero_point = -5 if signed else 120
    q = kernels.quantize(x, 0.02, zero_point, signed)
    np.testing.assert_array_equal(q, expected.quantize(x, 0.02, zero_point, signed))


@SIGNED
def test_quantize_rounds_half_to_even_saturates_and_takes_nan_for_zero(kernels: Kernels, signed):
    special = [0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, np.inf, -np.inf, np.nan, 3e38, -0.0]
    lo, hi = (-128, 127) if signed else (0, 255)
    wanted = [10, 12, 12, 10, 8, hi, lo, hi, lo, 10, hi, 10]
    for repeat in (1, 3):  # once within the tail, then across whole vectors
        x = np.array(special * repeat, np.float32)
        assert kernels.quantize(x, 1.0, 10, signed).tolist() == wanted * repeat


@SIGNED
@pytest.mark.parametrize("size", SIZES)
def test_quantize_writes_nothing_beyond_its_end(kernels: Kernels, size, signed):
    x = np.ones(size, np.float32)
    guarded = np.full(size + 64, 77, np.int8 if signed else np.uint8)
    kernels.quantize(shifted(x), 1.0, 0, signed, out=guarded[1:])
    assert guarded[0] == 77
    assert (guarded[1 : size + 1] == 1).all()
    assert (guarded[size + 1 :] == 77).all()


@SIGNED
@pytest.mark.parametrize("size", [256, 257, 263])
def test_dequantize_is_exact_for_every_value(kernels: Kernels, size, signed):
    q = np.resize(np.arange(256, dtype=np.uint8), size).view(np.int8 if signed else np.uint8)
    for zero_point in (0, 100):
        y = kernels.dequantize(q, 0.03, zero_point)
        np.testing.assert_array_equal(
            y, (q.astype(np.int32) - zero_point).astype(np.float32) * np.float32(0.03)
        )


@SIGNED
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("k", [1, 5, 8, 17, 96, 130, 768])
def test_layer_norm_is_within_float32_and_quantized_as_it_is(kernels: Kernels, k, affine, signed):
    rng = np.random.default_rng(k)
    x = rng.standard_normal((5, k), dtype=np.float32) * 4 + 100  # a mean that cancels
    weight = rng.random(k, dtype=np.float32) + np.float32(0.5) if affine else None
    bias = rng.standard_normal(k, dtype=np.float32) if affine else None
    zero_point = 3 if signed else 120
    q, y = kernels.layer_norm_quantize(x, weight, bias, 1e-5, 0.03, zero_point, signed)
    exact = x.astype(np.float64)
    exact = exact - exact.mean(1, keepdims=True)
    exact = exact / np.sqrt((exact**2).mean(1, keepdims=True) + 1e-5)
    exact = exact * (1 if weight is None else weight) + (0 if bias is None else bias)
    # x is 25 standard deviations from 0: its own rounding is 25 times that of the result
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(q, expected.quantize(y, 0.03, zero_point, signed))
