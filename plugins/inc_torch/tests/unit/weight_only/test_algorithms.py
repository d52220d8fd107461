from __future__ import annotations

import numpy as np
import pytest
import torch

from inc_core.errors import CalibrationError, QuantizationError
from inc_core.quant.qparams import QParams
from inc_core.quant.spec import TensorSpec
from inc_torch.weight_only import (
    ALGORITHMS,
    InputStatistics,
    choose_grid,
    output_error,
    quantize_weight,
)

BITS = [2, 3, 4, 5, 6, 8]


def spec(bits=4, scheme="asym", group_size=None, algorithm="rtn"):
    granularity = "per_group" if group_size else "per_channel"
    return TensorSpec(f"int{bits}", scheme, granularity, algorithm, group_size)


def make_layer(rows=24, columns=70, seed=0):
    """A weight, and correlated inputs of very different size as real activations have them."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=random) * 0.05
    mixing = torch.randn(columns, columns, generator=random) / columns**0.5
    sizes = torch.exp(torch.randn(columns, generator=random))
    return weight, torch.randn(600, columns, generator=random) @ mixing * sizes


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("scheme", ["sym", "asym"])
@pytest.mark.parametrize("group_size", [None, 32, 70, 128], ids=lambda size: f"group {size}")
@pytest.mark.parametrize("bits", BITS, ids=lambda bits: f"{bits} bits")
def test_integers_fit_their_bits_and_scales_fit_float16(algorithm, scheme, group_size, bits):
    weight, inputs = make_layer()
    wanted = spec(bits, scheme, group_size, algorithm)
    found = quantize_weight(weight, wanted, InputStatistics.of(inputs))
    grid = found.grid
    assert found.q_weight.dtype == torch.int8 and found.q_weight.shape == weight.shape
    assert found.q_weight.min() >= wanted.qmin and found.q_weight.max() <= wanted.qmax
    assert torch.equal(grid.scale.half().float(), grid.scale) and (grid.scale > 0).all()
    assert torch.equal(grid.zero_point.round(), grid.zero_point)
    assert grid.zero_point.min() >= wanted.qmin and grid.zero_point.max() <= wanted.qmax
    assert grid.scale.shape == (24, -(-70 // grid.group_size))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_bits_are_closer(algorithm):
    weight, inputs = make_layer()
    statistics = InputStatistics.of(inputs)
    errors = [
        output_error(
            quantize_weight(weight, spec(bits, algorithm=algorithm), statistics).dequantize()
            - weight,
            statistics,
        )
        for bits in BITS
    ]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scheme", ["sym", "asym"])
@pytest.mark.parametrize("bits", [2, 3, 4], ids=lambda bits: f"{bits} bits")
@pytest.mark.parametrize("algorithm", ["gptq", "awq"])
def test_looking_at_the_inputs_beats_rounding(algorithm, bits, scheme, seed):
    weight, inputs = make_layer(seed=seed)
    statistics = InputStatistics.of(inputs)
    rounded, found = (
        quantize_weight(weight, spec(bits, scheme, 32, name), statistics)
        for name in ("rtn", algorithm)
    )
    error = output_error(found.dequantize() - weight, statistics)
    assert error < output_error(rounded.dequantize() - weight, statistics)


@pytest.mark.parametrize("bits", [2, 3, 4], ids=lambda bits: f"{bits} bits")
def test_hqq_is_never_worse_in_its_own_norm(bits):
    weight, _ = make_layer()
    rounded, found = (
        quantize_weight(weight, spec(bits, group_size=32, algorithm=name))
        for name in ("rtn", "hqq")
    )
    norms = [(q.dequantize() - weight).abs().pow(0.7).sum() for q in (found, rounded)]
    assert norms[0] < norms[1]


def test_gptq_equals_the_textbook_on_a_small_matrix():
    """Column by column with the inverse recomputed each time: optimal brain quantization."""
    weight, inputs = make_layer(rows=4, columns=9)
    statistics = InputStatistics.of(inputs)
    wanted = spec(3, algorithm="gptq")
    found = quantize_weight(weight, wanted, statistics)
    grid = choose_grid(weight, wanted)
    hessian = statistics.gram.double()
    hessian += 0.01 * hessian.diagonal().mean() * torch.eye(9, dtype=torch.float64)
    remaining, left = weight.double().clone(), list(range(9))
    for column in torch.argsort(statistics.gram.diagonal(), descending=True).tolist():
        inverse = torch.linalg.inv(hessian[left][:, left])
        scale, zero_point = grid.column(column)
        steps = torch.round(remaining[:, column] / scale) + zero_point
        rounded = (steps.clamp(wanted.qmin, wanted.qmax) - zero_point) * scale
        here = left.index(column)
        step = (remaining[:, column] - rounded) / inverse[here, here]
        remaining[:, left] -= torch.outer(step, inverse[here])
        remaining[:, column] = rounded
        left.remove(column)
    np.testing.assert_allclose(found.dequantize(), remaining, atol=1e-6)


def test_awq_scaling_is_exact_before_rounding():
    weight, inputs = make_layer()
    found = quantize_weight(weight, spec(8, algorithm="awq"), InputStatistics.of(inputs))
    assert found.input_scale is not None
    direct = inputs @ found.dequantize().T
    scaled = (inputs * found.input_scale) @ found.grid.dequantize(found.q_weight).T
    torch.testing.assert_close(scaled, direct)


@pytest.mark.parametrize("scheme", ["sym", "asym"])
def test_rounding_is_that_of_the_core(scheme):
    weight, _ = make_layer()
    found = quantize_weight(weight, spec(4, scheme, 32))
    core = QParams(
        found.grid.scale.numpy(), found.grid.zero_point.int().numpy(), "int4", 1, group_size=32
    )
    np.testing.assert_array_equal(found.q_weight, core.quantize(weight.numpy()))
    np.testing.assert_array_equal(found.dequantize(), core.dequantize(found.q_weight.numpy()))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_channel_of_zeros_stays_zero(algorithm):
    weight, inputs = make_layer()
    weight[3] = 0
    found = quantize_weight(weight, spec(2, algorithm=algorithm), InputStatistics.of(inputs))
    assert not found.dequantize()[3].any()


@pytest.mark.parametrize("algorithm", ["gptq", "awq"])
def test_inputs_that_are_always_zero_do_no_harm(algorithm):
    weight, inputs = make_layer()
    inputs[:, 5:9] = 0
    found = quantize_weight(weight, spec(4, algorithm=algorithm), InputStatistics.of(inputs))
    assert torch.isfinite(found.dequantize()).all()


@pytest.mark.parametrize("algorithm", ["gptq", "awq"])
def test_fewer_rows_than_inputs_are_enough(algorithm):
    weight, inputs = make_layer()
    found = quantize_weight(weight, spec(4, algorithm=algorithm), InputStatistics.of(inputs[:3]))
    assert torch.isfinite(found.dequantize()).all()


@pytest.mark.parametrize("algorithm", ["gptq", "awq"])
def test_missing_inputs_are_named(algorithm):
    weight, inputs = make_layer()
    for statistics in (None, InputStatistics.of(inputs[:0])):
        with pytest.raises(CalibrationError, match=f"{algorithm} needs calibration data"):
            quantize_weight(weight, spec(algorithm=algorithm), statistics)


def test_nan_in_the_inputs_is_named():
    weight, inputs = make_layer()
    inputs[7, 7] = torch.nan
    with pytest.raises(CalibrationError, match="hold NaN"):
        quantize_weight(weight, spec(algorithm="gptq"), InputStatistics.of(inputs))


def test_unknown_algorithms_are_listed():
    with pytest.raises(QuantizationError, match=r"'omq'; known: rtn, hqq, gptq, awq"):
        quantize_weight(make_layer()[0], spec(algorithm="omq"))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.full((3, 4), torch.nan), "NaN or infinite"),
        (torch.ones(3), r"finite matrix, received shape \(3,\)"),
        (torch.ones(0, 4), r"shape \(0, 4\)"),
    ],
    ids=["nan", "vector", "empty"],
)
def test_weights_that_cannot_be_quantized_are_named(weight, message):
    with pytest.raises(QuantizationError, match=message):
        quantize_weight(weight, spec())


def test_a_grid_beyond_float16_is_named():
    with pytest.raises(QuantizationError, match="exceeds float16"):
        choose_grid(torch.full((3, 4), 1e7), spec())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("exponent", [-40, -24, -14, 30])
def test_weights_of_any_magnitude_lose_no_more_than_others(algorithm, exponent):
    weight, inputs = make_layer()
    statistics, wanted = InputStatistics.of(inputs), spec(4, "asym", 32, algorithm)
    small = weight * 2.0**exponent
    error = quantize_weight(small, wanted, statistics).dequantize() - small
    usual = quantize_weight(weight, wanted, statistics).dequantize() - weight
    # the scales are rounded at another place of their mantissa
    assert error.norm() / small.norm() < 1.2 * usual.norm() / weight.norm()
