"""4-bit weights in groups."""

from __future__ import annotations

import expected
import numpy as np
import pytest
from binding import COMPUTES, Kernels
from test_dynamic_linear import shifted

# K: whole groups, groups at the edge (a last group of 1, or short by 1), less than one group
SHAPES = [
    (1, 128, 64),
    (1, 129, 70),
    (2, 5, 3),
    (3, 384, 130),
    (4, 127, 33),
    (5, 256, 96),
    (7, 33, 65),
    (16, 320, 100),
]
GROUPS = [32, 64, 128]
SCHEMES = pytest.mark.parametrize("symmetric", [True, False], ids=["sym", "asym"])


def problem(m, k, n, group_size, symmetric, seed=0):
    """Activations, codes, scales, zero points, and the weight they stand for."""
    rng = np.random.default_rng(seed)
    groups = -(-k // group_size)
    x = rng.standard_normal((m, k), dtype=np.float32)
    q = rng.integers(0, 16, (n, k), dtype=np.uint8)
    scales = (rng.random((n, groups)) * 0.01 + 1e-3).astype(np.float16).astype(np.float32)
    zeros = None if symmetric else rng.integers(0, 16, (n, groups), dtype=np.uint8)
    group = np.arange(k) // group_size
    centre = 8.0 if symmetric else zeros[:, group].astype(np.float64)
    return (
        x,
        q,
        scales,
        zeros,
        (q.astype(np.float64) - centre) * scales[:, group].astype(np.float64),
    )


@SCHEMES
@pytest.mark.parametrize("group_size", GROUPS)
@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_results_are_within_float32_sums_of_float64(
    kernels: Kernels, m, k, n, compute, group_size, symmetric
):
    x, q, scales, zeros, weight = problem(m, k, n, group_size, symmetric)
    bias = np.random.default_rng(3).standard_normal(n, dtype=np.float32)
    packed = kernels.pack_int4(q, scales, zeros, group_size)
    y = kernels.int4_linear(x, packed, n, compute, bias)
    exact = expected.int4_linear(x, weight, group_size, compute, bias)
    # float32 sums of k terms, none larger than 15 * scale * max|x|; the int8 sums themselves are exact
    bound = 15 * scales.max() * np.abs(x).max() * 1e-6 * (1 + k / 32)
    np.testing.assert_allclose(y, exact, rtol=1e-6, atol=bound)


@SCHEMES
@pytest.mark.parametrize("group_size", GROUPS)
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_int8_sums_are_exact(kernels: Kernels, m, k, n, group_size, symmetric):
    # activations of -127..127, each group with a 127, have the scale 1; weights have the scale 1 too
    rng = np.random.default_rng(1)
    x = rng.integers(-127, 128, (m, k)).astype(np.float32)
    x[:, ::group_size] = 127
    _, q, scales, zeros, _ = problem(m, k, n, group_size, symmetric)
    packed = kernels.pack_int4(q, np.ones_like(scales), zeros, group_size)
    y = kernels.int4_linear(x, packed, n, "int8")
    centre = 8 if symmetric else zeros[:, np.arange(k) // group_size].astype(np.int64)
    exact = x.astype(np.int64) @ (q.astype(np.int64) - centre).T
    np.testing.assert_array_equal(y, exact)


def test_the_largest_int8_products_do_not_saturate(kernels: Kernels):
    x = np.full((3, 256), -127, np.float32)
    q = np.full((40, 256), 15, np.uint8)
    zeros = np.zeros((40, 2), np.uint8)
    packed = kernels.pack_int4(q, np.ones((40, 2), np.float32), zeros, 128)
    np.testing.assert_array_equal(kernels.int4_linear(x, packed, 40, "int8"), -127 * 15 * 256)


@pytest.mark.parametrize("group_size", [32, 96, 256])
def test_any_multiple_of_32_is_a_group(kernels: Kernels, group_size):
    x, q, scales, zeros, weight = problem(3, 500, 50, group_size, False)
    packed = kernels.pack_int4(q, scales, zeros, group_size)
    y = kernels.int4_linear(x, packed, 50, "fp32")
    np.testing.assert_allclose(y, x.astype(np.float64) @ weight.T, rtol=1e-6, atol=3e-5)


@SCHEMES
@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_that_is_not_finite_gives_no_number_and_leaves_the_others(
    kernels: Kernels, bad, compute, symmetric
):
    x, q, scales, zeros, _ = problem(5, 96, 70, 32, symmetric)
    q[:] = np.where(
        q == 8, 9, q
    )  # a weight of 0 hides nothing here, but 0 * infinity is not a number
    packed = kernels.pack_int4(q, scales, zeros, 32)
    clean = kernels.int4_linear(x, packed, 70, compute)
    x[2, 95] = bad
    y = kernels.int4_linear(x, packed, 70, compute)
    assert not np.isfinite(y[2]).any()
    np.testing.assert_array_equal(np.delete(y, 2, 0), np.delete(clean, 2, 0))


@pytest.mark.parametrize("compute", COMPUTES)
def test_a_zero_row_gives_the_bias(kernels: Kernels, compute):
    _, q, scales, zeros, _ = problem(1, 96, 70, 32, False)
    bias = np.linspace(-1, 1, 70, dtype=np.float32)
    packed = kernels.pack_int4(q, scales, zeros, 32)
    y = kernels.int4_linear(np.zeros((2, 96), np.float32), packed, 70, compute, bias)
    np.testing.assert_array_equal(y, np.tile(bias, (2, 1)))


@pytest.mark.parametrize("compute", COMPUTES)
def test_ranges_and_shifted_pointers_change_no_bit(kernels: Kernels, compute):
    x, q, scales, zeros, _ = problem(8, 160, 200, 64, False)
    bias = np.linspace(-1, 1, 200, dtype=np.float32)
    packed = kernels.pack_int4(q, scales, zeros, 64)
    whole = kernels.int4_linear(x, packed, 200, compute, bias)
    parts = kernels.int4_linear(x, packed, 200, compute, bias, columns=(64, 192))
    np.testing.assert_array_equal(whole, parts)
    moved = packed._replace(
        packed=shifted(packed.packed),
        scales=shifted(packed.scales),
        zero_points=shifted(packed.zero_points),
    )
    np.testing.assert_array_equal(
        whole, kernels.int4_linear(shifted(x), moved, 200, compute, shifted(bias))
    )
