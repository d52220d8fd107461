from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import QuantizationError
from inc_core.quant.bias import bias_correction
from inc_core.quant.spec import TensorSpec
from inc_core.quant.weights import quantize_weight

COARSE = TensorSpec("int4", "sym")


def rounded(weight):
    q_weight, qparams = quantize_weight(weight, COARSE)
    return qparams.dequantize(q_weight)


def convolve(inputs, weight, groups):
    """Return the mean per channel of a grouped convolution without padding, in float64."""
    out, inside, height, width = weight.shape
    per_group = out // groups
    sums = np.zeros(out)
    rows, columns = inputs.shape[2] - height + 1, inputs.shape[3] - width + 1
    for channel in range(out):
        first = channel // per_group * inside
        for row in range(rows):
            for column in range(columns):
                window = inputs[
                    :, first : first + inside, row : row + height, column : column + width
                ]
                sums[channel] += (window * weight[channel]).sum()
    return sums / (rows * columns * len(inputs))


@pytest.mark.parametrize("groups", [1, 2, 6], ids=["dense", "grouped", "depthwise"])
def test_mean_output_of_a_convolution_is_restored(rng, groups):
    weight = rng.normal(size=(6, 6 // groups, 3, 3)).astype(np.float32)
    # constant over the image, so that the mean of each channel is that of every window
    inputs = np.ones((4, 6, 5, 5)) * rng.normal(size=(4, 6, 1, 1)) + 1
    dequantized = rounded(weight)
    correction = bias_correction(weight, dequantized, inputs.mean(axis=(0, 2, 3)))
    before, after = convolve(inputs, weight, groups), convolve(inputs, dequantized, groups)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(after + correction, before, atol=1e-5)
    assert correction.dtype == np.float32


def test_both_layouts_of_a_matrix_agree(rng):
    weight = rng.normal(size=(7, 4)).astype(np.float32)
    inputs = rng.normal(size=(50, 7)) + 1
    dequantized, mean = rounded(weight), inputs.mean(axis=0)
    correction = bias_correction(weight, dequantized, mean, layout="io")
    np.testing.assert_allclose(
        (inputs @ (weight - dequantized)).mean(axis=0), correction, atol=1e-5
    )
    transposed = bias_correction(weight.T, dequantized.T, mean)
    np.testing.assert_allclose(transposed, correction, rtol=1e-6)


@pytest.mark.parametrize(
    "weight, other, mean, message",
    [
        ((4, 3), (3, 4), 3, "of one shape"),
        ((4,), (4,), 4, "of one shape"),
        ((4, 3), (4, 3), 4, "does not take 4 channels"),
        ((4, 3), (4, 3), 0, "does not take 0 channels"),
        ((4, 1), (4, 1), 3, "does not take 3 channels"),
    ],
    ids=["shapes", "vector", "channels", "no channels", "groups"],
)
def test_shapes_that_do_not_belong_together_are_refused(weight, other, mean, message):
    with pytest.raises(QuantizationError, match=message):
        bias_correction(np.ones(weight), np.ones(other), np.ones(mean))
