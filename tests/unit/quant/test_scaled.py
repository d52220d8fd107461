"""Ranges of a model whose channels are divided by factors, without running it."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import CalibrationError
from inc_core.quant.calibrator import Calibrator, ScaledCalibrator
from inc_core.quant.spec import TensorKey, TensorSpec

KEY, OTHER = TensorKey("conv"), TensorKey("other")
SPREAD = np.array([1.0, 10.0, 100.0], np.float32)


def calibrator(data, algorithms=("minmax",), channel_keys=(KEY, OTHER)):
    def observe(batches, observers):
        for batch in batches:
            for observer in observers.values():
                observer.update(batch)

    return Calibrator(observe, lambda: [data], (KEY, OTHER), [len(data)], algorithms, channel_keys)


@pytest.fixture
def data(rng):
    return (rng.normal(size=(50, 3, 4)) * SPREAD[:, None]).astype(np.float32)


def test_ranges_and_means_are_those_of_the_scaled_model(data):
    scaled = ScaledCalibrator(calibrator(data), {KEY: SPREAD}).calibration(50)
    exact = calibrator(data / SPREAD[:, None]).calibration(50)
    np.testing.assert_allclose(scaled.range(KEY), exact.range(KEY), rtol=1e-6)
    np.testing.assert_allclose(
        scaled.channel_mean(KEY), exact.channel_mean(KEY), rtol=1e-4, atol=1e-6
    )


def test_tensors_without_factors_stay_as_they_are(data):
    base = calibrator(data)
    scaled = ScaledCalibrator(base, {KEY: SPREAD}).calibration(50)
    assert scaled.range(OTHER) == base.calibration(50).range(OTHER)


def test_a_rule_clips_the_share_that_it_clipped_of_what_was_observed(data):
    base = calibrator(data, algorithms=("mse",))
    observed = base.calibration(50)
    scaled = ScaledCalibrator(base, {KEY: np.full(3, 2, np.float32)}).calibration(50)
    np.testing.assert_allclose(
        scaled.range(KEY, "mse"), np.array(observed.range(KEY, "mse")) / 2, rtol=1e-6
    )


def test_what_was_used_is_counted_apart_from_the_base(data):
    base = calibrator(data)
    scaled = ScaledCalibrator(base, {KEY: SPREAD})
    calibration = scaled.calibration(50)
    calibration.qparams(KEY, TensorSpec("uint8", "asym"))
    assert not base.calibration(50).used
    assert not scaled.calibration(50).used
    assert len(calibration.used) == 1


def test_without_statistics_per_channel_it_is_an_error(data):
    base = calibrator(data, channel_keys=())
    with pytest.raises(CalibrationError, match="statistics per channel"):
        ScaledCalibrator(base, {KEY: SPREAD}).calibration(50)
