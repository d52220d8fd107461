"""The arithmetic of integer biases."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.quant.spec import TensorSpec
from inc_core.quant.weights import quantize_weight
from inc_onnx.kernels.bias import fit_weight_to_bias, integer_bias
from inc_onnx.weights import QuantizedWeight

rng = np.random.default_rng(0)
PER_CHANNEL = TensorSpec("int8", "sym", "per_channel")
PER_TENSOR = TensorSpec("int8", "sym")


def test_integer_bias_is_within_half_a_step():
    bias = rng.normal(size=8).astype(np.float32)
    scale = rng.uniform(0.001, 0.1, 8).astype(np.float32)
    integers = integer_bias(bias, 0.02, scale)
    assert integers.dtype == np.int32
    assert np.all(np.abs(integers * scale * 0.02 - bias) <= scale * 0.02 * 0.5001)


@pytest.mark.parametrize("spec", [PER_CHANNEL, PER_TENSOR], ids=["per_channel", "per_tensor"])
def test_weight_is_left_alone_where_the_bias_fits(spec):
    weight = rng.normal(size=(8, 4)).astype(np.float32)
    quantized = QuantizedWeight(*quantize_weight(weight, spec, 0))
    assert fit_weight_to_bias(weight, quantized, np.ones(8, np.float32), 0.01, 0) is quantized


def test_only_the_dead_channel_gets_a_coarser_scale():
    weight = rng.normal(size=(8, 4)).astype(np.float32)
    weight[2] *= 1e-15
    bias = np.full(8, 2.0, np.float32)
    quantized = QuantizedWeight(*quantize_weight(weight, PER_CHANNEL, 0))
    fitted = fit_weight_to_bias(weight, quantized, bias, 0.01, 0)
    changed = np.flatnonzero(fitted.qparams.scale != quantized.qparams.scale)
    np.testing.assert_array_equal(changed, [2])
    np.testing.assert_array_equal(
        np.delete(fitted.q_weight, 2, 0), np.delete(quantized.q_weight, 2, 0)
    )
    integers = integer_bias(bias, 0.01, fitted.qparams.scale)
    np.testing.assert_allclose(integers * fitted.qparams.scale * 0.01, 2.0, rtol=1e-3)
