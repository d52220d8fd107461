from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import QuantizationError
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.spec import TensorSpec
from inc_core.quant.weights import quantize_weight

S8 = TensorSpec("int8", "sym")
PER_CHANNEL = TensorSpec("int8", "sym", "per_channel")


def grouped(dtype, scheme, size):
    return TensorSpec(dtype, scheme, "per_group", group_size=size)


@pytest.mark.parametrize("shape, axis", [((8, 3, 3, 3), 0), ((6, 10), 1), ((4,), 0)], ids=str)
def test_each_channel_is_quantized_by_its_own_range(rng, shape, axis):
    weight = rng.normal(size=shape).astype(np.float32)
    q_weight, qparams = quantize_weight(weight, PER_CHANNEL, axis)
    assert (q_weight.dtype, q_weight.shape) == (np.int8, shape)
    assert qparams.scale.shape == (shape[axis],)
    for channel in range(shape[axis]):
        column = np.take(weight, channel, axis)
        alone = choose_qparams(column.min(), column.max(), S8)
        np.testing.assert_array_equal(np.take(q_weight, channel, axis), alone.quantize(column))


def test_a_dead_channel_keeps_scale_one_and_stays_zero(rng):
    weight = rng.normal(size=(3, 5)).astype(np.float32)
    weight[1] = 0
    q_weight, qparams = quantize_weight(weight, PER_CHANNEL)
    assert qparams.scale[1] == 1
    assert not q_weight[1].any()


def test_per_tensor_has_one_scale(rng):
    weight = rng.normal(size=(3, 5)).astype(np.float32)
    q_weight, qparams = quantize_weight(weight, S8)
    assert qparams.scale.shape == ()
    assert np.abs(q_weight).max() == 127


@pytest.mark.parametrize("dtype", ["int4", "uint4", "int8", "uint8", "int2"])
@pytest.mark.parametrize("scheme", ["sym", "asym"])
@pytest.mark.parametrize(
    "rows", [32, 37, 5], ids=["whole groups", "a short one", "only a short one"]
)
def test_groups_run_along_the_input_dimension(rng, dtype, scheme, rows):
    weight = rng.normal(size=(rows, 6)).astype(np.float32)
    spec = grouped(dtype, scheme, 16)
    q_weight, qparams = quantize_weight(weight, spec, axis=1)
    assert qparams.scale.shape == (-(-rows // 16), 6)
    restored = qparams.dequantize(q_weight)
    for group in range(0, rows, 16):
        for column in range(6):
            values = weight[group : group + 16, column]
            alone = choose_qparams(values.min(), values.max(), spec)
            expected = alone.dequantize(alone.quantize(values))
            np.testing.assert_array_equal(restored[group : group + 16, column], expected)


def test_groups_of_a_transposed_matrix_are_transposed(rng):
    weight = rng.normal(size=(32, 6)).astype(np.float32)
    spec = grouped("int4", "sym", 16)
    q_weight, qparams = quantize_weight(weight, spec, axis=1)
    other, other_qparams = quantize_weight(weight.T, spec, axis=0)
    np.testing.assert_array_equal(other.T, q_weight)
    np.testing.assert_array_equal(other_qparams.scale.T, qparams.scale)


def test_seven_bits_are_stored_in_int8(rng):
    q_weight, _ = quantize_weight(rng.normal(size=(3, 5)), TensorSpec("int7", "sym"))
    assert q_weight.dtype == np.int8
    assert np.abs(q_weight).max() == 63


@pytest.mark.parametrize(
    "weight, spec, axis, message",
    [
        (np.zeros((0, 3)), S8, 0, "empty or holds NaN"),
        (np.array([[1.0, np.nan]]), S8, 0, "empty or holds NaN"),
        (np.ones((2, 3)), PER_CHANNEL, 2, "no axis 2"),
        (np.ones((2, 3, 4)), grouped("int4", "sym", 2), 0, "groups need a matrix"),
        (np.ones((2, 3)), TensorSpec("int4", "sym", "per_group"), 0, "and a group_size"),
        (np.ones((2, 3)), TensorSpec("int8", "sym", algorithm="kl"), 0, "minmax only"),
        (np.ones((2, 3)), TensorSpec("fp8_e4m3", "sym"), 0, "'fp8_e4m3' is not an integer dtype"),
    ],
    ids=["empty", "nan", "axis", "groups of a tensor", "no group size", "algorithm", "float dtype"],
)
def test_what_cannot_be_quantized_is_refused(weight, spec, axis, message):
    with pytest.raises(QuantizationError, match=message):
        quantize_weight(weight, spec, axis)
