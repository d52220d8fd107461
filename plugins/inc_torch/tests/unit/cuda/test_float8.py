from __future__ import annotations

import pytest
import torch

from inc_core.errors import QuantizationError
from inc_torch import kernels  # noqa: F401 - defines the operators
from inc_torch.cuda import float8


def make(rows=5, outputs=48, inputs=32):
    torch.manual_seed(0)
    weight, scales = float8.quantize_float8(torch.randn(outputs, inputs))
    return torch.randn(rows, 2, inputs) * 3, weight, scales[:, 0], torch.randn(outputs)


def test_float8_is_close_to_float():
    x, weight, scales, bias = make()
    float_weight = weight.float() * scales[:, None]
    wanted = torch.nn.functional.linear(x, float_weight, bias)
    found = torch.ops.inc.float8_linear(x, weight, scales, bias)
    assert found.shape == wanted.shape and found.dtype == x.dtype
    assert (found - wanted).abs().max() / wanted.abs().max() < 2**-4  # three bits of mantissa


def test_the_device_product_gives_the_same_numbers():
    x, weight, scales, bias = make()
    found = float8.scaled_product(x, weight, scales, bias)
    torch.testing.assert_close(
        found, float8.reference(x, weight, scales, bias), rtol=2**-7, atol=2**-5
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_row_that_is_not_finite_gives_nan_and_a_row_of_zeros_zeros(value):
    x, weight, scales, _ = make()
    x[1, 0, 3], x[2] = value, 0
    y = torch.ops.inc.float8_linear(x, weight, scales, None)
    assert y[1, 0].isnan().all() and y[1, 1].isfinite().all() and not y[2].any()


def test_the_operator_is_well_behaved():
    # the check of the schema needs to fill tensors with random numbers, which float8 ones do not take
    checks = ("test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(torch.ops.inc.float8_linear.default, make(), test_utils=checks)


def test_wrong_widths_are_named():
    x, weight, scales, bias = make()
    with pytest.raises(QuantizationError, match=r"shape \(..., 32\), received \(5, 2, 31\)"):
        torch.ops.inc.float8_linear(x[..., :31], weight, scales, bias)
