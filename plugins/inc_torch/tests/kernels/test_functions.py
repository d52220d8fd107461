"""The operators against float64: right with the reference, and with whatever kernels are in use."""

from __future__ import annotations

import pytest
import torch
from problems import activated, activations, int4_weight, int8_weight, relative_error

from inc_core.errors import QuantizationError
from inc_torch import kernels
from inc_torch.kernels import Activation, Compute

SHAPES = [(1, 64, 64), (3, 77, 130), (7, 256, 96), (2, 5, 3)]


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_dynamic_linear_differs_from_float_by_its_rounding_only(m, k, n, activation):
    x = activations(m, k)
    q, scales, bias = int8_weight(n, k)
    weight = q.double() * scales.double()[:, None]
    expected = activated(x.double() @ weight.t() + bias, activation)
    y = kernels.dynamic_linear(x, kernels.pack_int8_weight(q), scales, bias, activation)
    assert relative_error(y, expected) < 0.02


@pytest.mark.parametrize("symmetric", [True, False], ids=["sym", "asym"])
@pytest.mark.parametrize("group_size", [32, 64, 128, -1])
@pytest.mark.parametrize(
    ("compute", "bound"), [(Compute.FP32, 2e-6), (Compute.BF16, 5e-3), (Compute.INT8, 2e-2)]
)
@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_int4_linear_is_as_exact_as_its_compute_dtype(
    m, k, n, compute, bound, group_size, symmetric
):
    x = activations(m, k)
    weight, real = int4_weight(n, k, group_size, symmetric)
    bias = torch.linspace(-1, 1, n)
    y = kernels.int4_linear(x, weight, bias, compute)
    assert relative_error(y, x.double() @ real.t() + bias.double()) < bound


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_linears_keep_the_dtype_of_their_activations(dtype):
    x = activations(4, 64).to(dtype)
    q, scales, bias = int8_weight(48, 64)
    weight, real = int4_weight(48, 64, 32, False)
    assert kernels.dynamic_linear(x, kernels.pack_int8_weight(q), scales, bias).dtype == dtype
    y = kernels.int4_linear(x, weight, None, Compute.FP32)
    assert y.dtype == dtype
    assert relative_error(y, x.double() @ real.t()) < 5e-3


def test_non_contiguous_activations_give_the_same_bits():
    x = activations(64, 6).t()
    q, scales, bias = int8_weight(40, 64)
    weight, _ = int4_weight(40, 64, 32, False)
    packed = kernels.pack_int8_weight(q)
    for compute in (
        lambda v: kernels.dynamic_linear(v, packed, scales, bias),
        lambda v: kernels.int4_linear(v, weight),
        lambda v: kernels.quantize(v, 0.1, 3),
        lambda v: kernels.layer_norm_quantize(v, None, None, 1e-5, 0.02, 128),
    ):
        assert torch.equal(compute(x), compute(x.contiguous()))


def test_leading_dimensions_are_kept_and_no_row_is_fine():
    q, scales, bias = int8_weight(10, 12)
    packed = kernels.pack_int8_weight(q)
    assert kernels.dynamic_linear(activations(2, 3, 12), packed, scales, bias).shape == (2, 3, 10)
    assert kernels.dynamic_linear(activations(12), packed, scales).shape == (10,)
    assert kernels.dynamic_linear(torch.empty(0, 12), packed, scales).shape == (0, 10)


def test_a_row_with_a_nan_or_an_infinity_gives_nan_and_leaves_the_others():
    x = activations(4, 64)
    x[1, 5], x[2, 6] = torch.nan, torch.inf
    q, scales, _ = int8_weight(9, 64)
    weight, _ = int4_weight(9, 64, 32, True)
    for y in (
        kernels.dynamic_linear(x, kernels.pack_int8_weight(q), scales),
        kernels.int4_linear(x, weight, None, Compute.INT8),
    ):
        assert y.isnan().all(1).tolist() == [False, True, True, False]
        assert y[[0, 3]].isfinite().all()


def test_an_empty_or_vanishing_row_gives_the_bias():
    q, scales, bias = int8_weight(9, 32)
    packed = kernels.pack_int8_weight(q)
    x = torch.stack([torch.zeros(32), torch.full((32,), 1e-42)])
    torch.testing.assert_close(
        kernels.dynamic_linear(x, packed, scales, bias), bias.expand(2, 9), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(("dtype", "lo", "hi"), [(torch.uint8, 0, 255), (torch.int8, -128, 127)])
def test_quantize_rounds_half_to_even_saturates_and_takes_nan_for_zero(dtype, lo, hi):
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, torch.inf, -torch.inf, torch.nan])
    q = kernels.quantize(x, 1.0, 10, dtype)
    assert q.dtype == dtype
    assert q.tolist() == [10, 12, 12, 10, 8, hi, lo, hi, lo, 10]


@pytest.mark.parametrize("size", [1, 7, 15, 16, 17, 64, 1000])
def test_dequantize_undoes_quantize_within_half_a_step(size):
    x = torch.linspace(-1, 1, size)
    for dtype, zero_point in ((torch.uint8, 128), (torch.int8, 3)):
        back = kernels.dequantize(kernels.quantize(x, 0.02, zero_point, dtype), 0.02, zero_point)
        assert float((back - x).abs().max()) <= 0.0101


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("width", [5, 16, 96, 130])
def test_layer_norm_quantize_is_a_step_from_the_two_ops(width, affine):
    x = activations(6, width)
    weight, bias = (torch.rand(width) + 0.5, torch.randn(width)) if affine else (None, None)
    y = torch.nn.functional.layer_norm(
        x.double(),
        (width,),
        None if weight is None else weight.double(),
        None if bias is None else bias.double(),
    )
    expected = torch.clamp(torch.round(y / 0.03) + 120, 0, 255)
    q = kernels.layer_norm_quantize(x, weight, bias, 1e-5, 0.03, 120)
    difference = (q.double() - expected).abs()
    assert float(difference.max()) <= 1
    assert float((difference > 0).double().mean()) < 0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: k.pack_int8_weight(torch.zeros(4, 4)), "needs an int8 matrix"),
        (
            lambda k: k.pack_int4_weight(torch.full((4, 32), 16), torch.ones(4, 1), None, 32),
            "0..15",
        ),
        (
            lambda k: k.pack_int4_weight(torch.zeros(4, 32).int(), torch.ones(4, 2), None, 32),
            "shape",
        ),
        (lambda k: k.pack_int4_weight(torch.zeros(4, 32).int(), torch.ones(4, 1), None, 20), "32"),
        (
            lambda k: k.pack_int4_weight(
                torch.zeros(4, 32).int(), torch.full((4, 1), 1e6), None, 32
            ),
            "largest float16",
        ),
        (lambda k: k.quantize(torch.zeros(3), 0.1, 0, torch.int32), "torch.uint8 or torch.int8"),
    ],
    ids=["float weight", "5 bits", "scales", "group", "scale range", "dtype"],
)
def test_bad_input_is_refused_with_what_was_received(change, message):
    with pytest.raises(QuantizationError, match=message):
        change(kernels)


def test_activations_that_do_not_fit_the_weight_are_refused():
    q, scales, _ = int8_weight(8, 16)
    packed = kernels.pack_int8_weight(q)
    with pytest.raises(QuantizationError, match=r"\(\.\.\., 16\)"):
        kernels.dynamic_linear(activations(2, 12), packed, scales)
    with pytest.raises(QuantizationError, match="bias must have shape"):
        kernels.dynamic_linear(activations(2, 16), packed, scales, torch.zeros(3))


@pytest.mark.parametrize("symmetric", [True, False], ids=["sym", "asym"])
def test_unpacking_gives_back_what_was_packed(symmetric):
    q, _, _ = int8_weight(70, 37)
    packed = kernels.pack_int8_weight(q)
    assert torch.equal(kernels.unpack_int8_weight(packed.packed, 37, 70), q)
    weight, real = int4_weight(70, 100, 64, symmetric)
    torch.testing.assert_close(kernels.unpack_int4_weight(weight).double(), real, rtol=1e-6, atol=0)
