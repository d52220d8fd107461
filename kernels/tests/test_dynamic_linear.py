"""int8 weights, activations quantized as they come."""

from __future__ import annotations

import expected
import numpy as np
import pytest
from binding import ACTIVATIONS, Kernels

# M: one row, a row more than a tile (4, 6), several tiles; K: less than a quad, tails of quads and of the
# cache line; N: less than a vector, tails of vectors and of the block of 64
SHAPES = [
    (1, 1, 1),
    (1, 64, 64),
    (1, 100, 70),
    (2, 3, 5),
    (3, 77, 130),
    (5, 31, 63),
    (7, 256, 96),
    (13, 129, 65),
    (16, 768, 200),
    (40, 60, 260),  # tiles enough to fetch the next block together
]


def problem(m, k, n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, k), dtype=np.float32) * 2 + np.float32(0.3)
    q = rng.integers(-128, 128, (n, k), dtype=np.int8)
    scales = rng.random(n, dtype=np.float32) * np.float32(0.01) + np.float32(1e-3)
    return x, q, scales, rng.standard_normal(n, dtype=np.float32)


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_rows_are_quantized_to_the_same_integers_by_every_set(kernels: Kernels, m, k, n):
    x, _, _, _ = problem(m, k, n)
    q, scales, zeros = kernels.quantized_rows(x)
    expected_q, expected_scales, expected_zeros = expected.quantize_rows(x)
    np.testing.assert_array_equal(q, expected_q)
    np.testing.assert_array_equal(scales, expected_scales)
    np.testing.assert_array_equal(zeros, expected_zeros)


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_integer_sums_are_exact(kernels: Kernels, m, k, n):
    # integer activations up to 255 with a scale of 1: every result is an integer below 2**24
    rng = np.random.default_rng(1)
    x = rng.integers(0, 256, (m, k)).astype(np.float32)
    x[:, 0] = 255
    q = rng.integers(-40, 41, (n, k), dtype=np.int8)
    y = kernels.dynamic_linear(x, kernels.pack_int8(q), np.ones(n, np.float32))
    np.testing.assert_array_equal(y, x.astype(np.int64) @ q.T.astype(np.int64))


def test_the_largest_products_do_not_saturate(kernels: Kernels):
    # 255 * -128, twice, is beyond 16 bits: what vpmaddubsw would clip
    x = np.full((6, 512), 255, np.float32)
    for value in (-128, 127):
        q = np.full((80, 512), value, np.int8)
        y = kernels.dynamic_linear(x, kernels.pack_int8(q), np.ones(80, np.float32))
        np.testing.assert_array_equal(y, 255 * value * 512)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_epilogues_are_within_float32_of_float64(kernels: Kernels, m, k, n, with_bias, activation):
    x, q, scales, bias = problem(m, k, n)
    bias = bias if with_bias else None
    y = kernels.dynamic_linear(x, kernels.pack_int8(q), scales, bias, activation)
    exact = expected.dynamic_linear(x, q, scales, bias, activation)
    # 4 roundings to float32, and the 1.5e-7 of the erfc polynomial times the largest tail
    np.testing.assert_allclose(y, exact, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_right_over_their_whole_range(kernels: Kernels, activation):
    # one input of 255 and a scale of 1/255 per output make y the bias and little else
    bias = np.concatenate([np.linspace(-12, 12, 4001), [-1e4, -100, 100, 1e4, -3e38, 3e38]]).astype(
        np.float32
    )
    q = np.zeros((len(bias), 1), np.int8)
    ones = np.ones(len(bias), np.float32)
    y = kernels.dynamic_linear(
        np.ones((1, 1), np.float32), kernels.pack_int8(q), ones, bias, activation
    )
    exact = expected.activate(bias, "relu" if activation == "none" else activation)
    exact = bias if activation == "none" else np.clip(exact, -3.4e38, 3.4e38)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(y[0], exact, rtol=1e-5, atol=6e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_gives_nan_and_leaves_the_others(kernels, bad, activation):
    x, q, scales, bias = problem(8, 77, 70)
    weight = kernels.pack_int8(q)
    clean = kernels.dynamic_linear(x, weight, scales, bias, activation)
    x[3, 76] = bad
    y = kernels.dynamic_linear(x, weight, scales, bias, activation)
    assert np.isnan(y[3]).all()
    np.testing.assert_array_equal(np.delete(y, 3, 0), np.delete(clean, 3, 0))


def test_a_zero_or_vanishing_row_gives_the_bias(kernels: Kernels):
    _, q, scales, bias = problem(1, 40, 70)
    x = np.stack([np.zeros(40), np.full(40, 1e-42), np.full(40, -1e-42)]).astype(np.float32)
    y = kernels.dynamic_linear(x, kernels.pack_int8(q), scales, bias)
    np.testing.assert_array_equal(y, np.tile(bias, (3, 1)))


def test_ranges_of_rows_and_columns_make_the_whole(kernels: Kernels):
    x, q, scales, bias = problem(9, 100, 300)
    weight = kernels.pack_int8(q)
    whole = kernels.dynamic_linear(x, weight, scales, bias, "gelu")
    split = {"columns": (64, 128, 256), "rows": (1, 3)}
    parts = kernels.dynamic_linear(x, weight, scales, bias, "gelu", **split)
    np.testing.assert_array_equal(whole, parts)


def test_pointers_need_the_alignment_of_their_element_only(kernels: Kernels):
    x, q, scales, bias = problem(7, 77, 130)
    weight = kernels.pack_int8(q)
    y = kernels.dynamic_linear(x, weight, scales, bias)
    moved = weight._replace(packed=shifted(weight.packed), column_sums=shifted(weight.column_sums))
    np.testing.assert_array_equal(
        y, kernels.dynamic_linear(shifted(x), moved, shifted(scales), shifted(bias))
    )


def test_rows_may_be_apart(kernels: Kernels):
    x, q, scales, bias = problem(5, 77, 70)
    wide = np.full((5, 100), np.nan, np.float32)
    wide[:, :77] = x
    weight = kernels.pack_int8(q)
    np.testing.assert_array_equal(
        kernels.dynamic_linear(wide[:, :77], weight, scales, bias),
        kernels.dynamic_linear(x, weight, scales, bias),
    )


def shifted(array: np.ndarray) -> np.ndarray:
    """A copy that starts one element off any alignment."""
    memory = np.empty(array.size + 65, array.dtype)
    offset = (64 - memory.ctypes.data % 64) // array.itemsize % 64 + 1
    copy = memory[offset : offset + array.size].reshape(array.shape)
    copy[...] = array
    return copy
