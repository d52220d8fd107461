"""The oracle's arithmetic, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.quant.qparams import QParams
from inc_core.testing.oracle import fake_quantize, fake_quantized_linear, snr_db


def qparams(scale, zero_point=0, dtype="int8"):
    return QParams(np.float32(scale), np.int32(zero_point), dtype, None)


def test_fake_quantize_rounds_to_the_grid_and_clips():
    array = np.array([0.24, 0.26, -0.9, 100.0], np.float32)
    expected = np.array([0.0, 0.5, -1.0, 63.5], np.float32)
    np.testing.assert_array_equal(fake_quantize(array, qparams(0.5)), expected)


def test_linear_multiplies_what_rounding_leaves():
    x, weight = np.array([[1.2]], np.float32), np.array([[0.9]], np.float32)
    output = fake_quantized_linear(x, weight, np.array([0.25]), qparams(1.0), qparams(0.5))
    np.testing.assert_array_equal(output, [[1.0 * 1.0 + 0.25]])


def test_linear_without_input_qparams_keeps_the_input():
    x, weight = np.array([[1.5]], np.float32), np.array([[0.9]], np.float32)
    output = fake_quantized_linear(x, weight, np.zeros(1), None, qparams(0.5))
    np.testing.assert_array_equal(output, [[1.5]])


def test_noise_of_a_tenth_is_20_db():
    reference = np.array([10.0, -10.0])
    assert snr_db(reference, 1.1 * reference) == pytest.approx(20.0)


def test_equal_arrays_have_no_noise():
    assert snr_db(np.ones(3), np.ones(3)) == float("inf")


def test_worst_output_counts():
    good, bad = np.array([10.0]), np.array([1.0])
    assert snr_db((good, bad), (good, bad * 1.1)) == pytest.approx(20.0)


@pytest.mark.parametrize("actual", [np.ones(2), np.array([1.0, np.nan, 1.0])], ids=["shape", "nan"])
def test_useless_outputs_are_infinitely_noisy(actual):
    assert snr_db(np.ones(3), actual) == float("-inf")
