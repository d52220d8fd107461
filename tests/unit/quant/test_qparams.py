from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inc_core.errors import CalibrationError
from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import INTEGER_RANGES, TensorSpec

BOUND = st.floats(-(2.0**100), 2.0**100, width=32)
SPEC = st.builds(
    TensorSpec, dtype=st.sampled_from(list(INTEGER_RANGES)), scheme=st.sampled_from(["sym", "asym"])
)
U8 = TensorSpec("uint8", "asym")
S8 = TensorSpec("int8", "sym")


def naive(values, scale, zero_point, dtype):
    """Quantize in float64, value by value."""
    qmin, qmax = INTEGER_RANGES[dtype]
    flat = [
        min(max(round(float(v) / float(scale)) + int(zero_point), qmin), qmax)
        for v in values.ravel()
    ]
    return np.array(flat).reshape(values.shape)


@settings(max_examples=200)
@given(BOUND, BOUND, SPEC)
def test_zero_is_exact_and_the_range_is_covered_to_half_a_step(first, second, spec):
    lo, hi = min(first, second), max(first, second)
    qparams = choose_qparams(lo, hi, spec)
    scale, zero_point = float(qparams.scale), int(qparams.zero_point)
    assert spec.qmin <= zero_point <= spec.qmax
    assert (qparams.scale.dtype, qparams.zero_point.dtype) == (np.float32, np.int32)
    assert qparams.dequantize(qparams.quantize(np.zeros(3, np.float32))).tolist() == [0, 0, 0]
    slack = 0.5001 * scale
    assert (spec.qmin - zero_point) * scale <= lo + slack
    assert (spec.qmax - zero_point) * scale >= hi - slack


@settings(max_examples=100)
@given(BOUND, BOUND, SPEC, st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8))
def test_rounding_errs_by_half_a_step_at_most(first, second, spec, shares):
    lo, hi = min(first, second, 0.0), max(first, second, 0.0)
    assume(hi - lo > 1e-20)
    values = np.array([share * (hi if share > 0 else -lo) for share in shares], np.float32)
    qparams = choose_qparams(lo, hi, spec)
    error = np.abs(qparams.dequantize(qparams.quantize(values)).astype(np.float64) - values)
    # the nudged zero point may leave the end of the range half a step outside
    assert error.max() <= 1.001 * float(qparams.scale)


@pytest.mark.parametrize("dtype", INTEGER_RANGES)
def test_signed_symmetric_has_zero_point_zero_and_the_scale_of_the_largest(dtype):
    qparams = choose_qparams(-3.0, 2.0, TensorSpec(dtype, "sym"))
    qmin, qmax = INTEGER_RANGES[dtype]
    if qmin < 0:
        assert qparams.zero_point == 0
        assert qparams.scale == np.float32(3.0 / qmax)
    else:
        assert qparams.zero_point == (qmax + 1) // 2
        assert qparams.scale == np.float32(3.0 / (qmax // 2))


def test_unsigned_symmetric_uses_all_levels_where_nothing_is_negative():
    qparams = choose_qparams(0.5, 3.0, TensorSpec("uint8", "sym"))
    assert (int(qparams.zero_point), float(qparams.scale)) == (0, np.float32(3.0 / 255))


def test_asymmetric_extends_a_range_to_zero():
    qparams = choose_qparams(2.0, 3.0, U8)
    assert (int(qparams.zero_point), float(qparams.scale)) == (0, np.float32(3.0 / 255))
    qparams = choose_qparams(-3.0, -2.0, U8)
    assert (int(qparams.zero_point), float(qparams.scale)) == (255, np.float32(3.0 / 255))


@pytest.mark.parametrize("spec", [U8, S8, TensorSpec("uint8", "sym")], ids=str)
def test_constant_zero_has_scale_one(spec):
    assert choose_qparams(0.0, 0.0, spec).scale == 1


@pytest.mark.parametrize("spec", [U8, S8], ids=str)
def test_tiny_ranges_have_no_denormal_scale(spec):
    scale = choose_qparams(0.0, 1e-44, spec).scale
    assert scale >= np.finfo(np.float32).tiny
    assert np.isfinite(np.float32(1) / scale)


def test_channels_are_chosen_one_by_one(rng):
    lo, hi = -rng.random(6), rng.random(6)
    lo[2] = hi[2] = 0
    together = choose_qparams(lo, hi, U8, axis=1)
    apart = [choose_qparams(a, b, U8) for a, b in zip(lo, hi, strict=True)]
    np.testing.assert_array_equal(together.scale, [q.scale for q in apart])
    np.testing.assert_array_equal(together.zero_point, [q.zero_point for q in apart])
    assert together.axis == 1


@pytest.mark.parametrize("lo, hi", [(np.nan, 1), (0, np.inf), (-np.inf, 0), ([0, np.nan], [1, 1])])
def test_bounds_that_are_not_finite_are_refused(lo, hi):
    with pytest.raises(CalibrationError, match="must be finite"):
        choose_qparams(np.array(lo, float), np.array(hi, float), U8)


def test_an_empty_range_is_refused():
    with pytest.raises(CalibrationError, match="must not be empty"):
        choose_qparams(1.0, 0.0, U8)


@pytest.mark.parametrize("dtype", INTEGER_RANGES)
@pytest.mark.parametrize("scheme", ["sym", "asym"])
def test_quantize_matches_a_naive_one(rng, dtype, scheme):
    values = (rng.normal(size=(4, 7)) * 2).astype(np.float32)
    qparams = choose_qparams(-1.5, 2.5, TensorSpec(dtype, scheme))
    found = qparams.quantize(values)
    assert found.dtype == (np.int8 if INTEGER_RANGES[dtype][0] < 0 else np.uint8)
    expected = naive(values, qparams.scale, qparams.zero_point, dtype)
    # float32 and float64 quotients differ next to ties
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.mean(found != expected) < 0.01


def test_ties_round_to_even_and_values_outside_saturate():
    qparams = QParams(np.float32(1), np.int32(0), "int8")
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9, np.inf], np.float32)
    assert qparams.quantize(values).tolist() == [0, 2, 2, 0, -2, 127, -128, 127]


def test_a_scalar_is_quantized_to_a_scalar():
    qparams = choose_qparams(-1.0, 1.0, S8)
    assert qparams.quantize(np.float32(1.0)).shape == ()
    assert qparams.quantize(np.float32(1.0)) == 127


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_channel_scales_run_along_their_axis(rng, axis):
    values = rng.normal(size=(3, 4, 5)).astype(np.float32)
    others = tuple(dim for dim in range(3) if dim != axis % 3)
    qparams = choose_qparams(values.min(others), values.max(others), S8, axis)
    found = np.moveaxis(qparams.quantize(values), axis, 0)
    for channel, column in enumerate(np.moveaxis(values, axis, 0)):
        alone = choose_qparams(column.min(), column.max(), S8)
        np.testing.assert_array_equal(found[channel], alone.quantize(column))


def test_dequantize_rounds_the_product_once(rng):
    qparams = QParams(np.float32(0.1), np.int32(3), "uint8")
    q_values = np.arange(256, dtype=np.uint8)
    expected = ((q_values.astype(np.float64) - 3) * np.float64(np.float32(0.1))).astype(np.float32)
    found = qparams.dequantize(q_values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
