"""int8 weights, activations quantized before."""

from __future__ import annotations

import expected
import numpy as np
import pytest
from binding import ACTIVATIONS, Kernels
from test_dynamic_linear import shifted

SCALE, ZERO_POINT = 0.03, 117
# K is a multiple of 4 here; M and N as for the dynamic linear: less than a tile, tails of tiles and blocks
SHAPES = [(1, 4, 1), (1, 64, 64), (2, 8, 5), (3, 76, 130), (5, 32, 63), (7, 256, 96), (40, 60, 260)]


def problem(m, k, n, seed=0):
    rng = np.random.default_rng(seed)
    q = rng.integers(0, 256, (m, k), dtype=np.uint8)
    q_weight = rng.integers(-128, 128, (n, k), dtype=np.int8)
    scales = rng.random(n, dtype=np.float32) * np.float32(0.01) + np.float32(1e-3)
    bias, addend = (rng.standard_normal(shape, dtype=np.float32) for shape in (n, (m, n)))
    return q, q_weight, scales, bias, addend


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("parts", ["bias and addend", "neither"])
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_results_are_within_float32_of_float64(kernels: Kernels, m, k, n, parts, activation):
    q, q_weight, scales, bias, addend = problem(m, k, n)
    bias, addend = (bias, addend) if parts != "neither" else (None, None)
    weight = kernels.pack_int8(q_weight)
    ending = (scales, bias, activation, addend)
    y = kernels.static_linear(q, SCALE, ZERO_POINT, weight, *ending)
    exact = expected.static_linear(q, np.float32(SCALE), ZERO_POINT, q_weight, *ending)
    np.testing.assert_allclose(y, exact, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_a_rounded_result_is_the_float_one_quantized(kernels: Kernels, m, k, n, activation):
    q, q_weight, scales, bias, addend = problem(m, k, n, seed=1)
    arguments = (
        q,
        SCALE,
        ZERO_POINT,
        kernels.pack_int8(q_weight),
        scales,
        bias,
        activation,
        addend,
    )
    y = kernels.static_linear(*arguments)
    guarded = np.full(m * n + 64, 77, np.uint8)
    kernels.static_linear(*arguments, to=(0.05, 30), out=guarded[: m * n])
    np.testing.assert_array_equal(
        guarded[: m * n].reshape(m, n), expected.quantize(y, 0.05, 30, signed=False)
    )
    assert (guarded[m * n :] == 77).all(), "wrote beyond the result"


def test_integer_sums_are_exact_and_do_not_saturate(kernels: Kernels):
    q, ones = np.full((8, 512), 255, np.uint8), np.ones(80, np.float32)
    for value in (-128, 127):
        weight = kernels.pack_int8(np.full((80, 512), value, np.int8))
        for zero_point in (0, 255):
            y = kernels.static_linear(q, 1.0, zero_point, weight, ones)
            np.testing.assert_array_equal(y, (255 - zero_point) * value * 512)


def test_ranges_of_rows_and_columns_make_the_whole(kernels: Kernels):
    q, q_weight, scales, bias, addend = problem(9, 100, 300)
    arguments = (q, SCALE, ZERO_POINT, kernels.pack_int8(q_weight), scales, bias, "gelu", addend)
    for to in (None, (0.05, 30)):
        whole = kernels.static_linear(*arguments, to)
        parts = kernels.static_linear(*arguments, to, columns=(64, 256), rows=(2, 8))
        np.testing.assert_array_equal(whole, parts)


def test_pointers_need_the_alignment_of_their_element_only(kernels: Kernels):
    q, q_weight, scales, bias, addend = problem(7, 76, 130)
    weight = kernels.pack_int8(q_weight)
    moved = weight._replace(packed=shifted(weight.packed), column_sums=shifted(weight.column_sums))
    start, tensors = (SCALE, ZERO_POINT), (scales, bias, "none", addend)
    np.testing.assert_array_equal(
        kernels.static_linear(q, *start, weight, *tensors),
        kernels.static_linear(
            shifted(q), *start, moved, shifted(scales), shifted(bias), "none", shifted(addend)
        ),
    )


def test_what_is_not_finite_rounds_as_quantize_says(kernels: Kernels):
    bias = np.array([np.nan, np.inf, -np.inf, 0], np.float32)
    weight = kernels.pack_int8(np.zeros((4, 4), np.int8))
    q, ones = np.zeros((1, 4), np.uint8), np.ones(4, np.float32)
    y = kernels.static_linear(q, 1.0, 0, weight, ones, bias, to=(1.0, 10))
    assert y.tolist() == [[10, 255, 0, 10]]
