"""Each function of lowered graphs against integer arithmetic written out in numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from inc_torch.static import ops


def integers(
    *shape: int, low: int = 0, high: int = 256, dtype: torch.dtype = torch.uint8
) -> Tensor:
    return torch.randint(low, high, shape, dtype=dtype)


def weight(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return an s8 weight, a scale per channel, and a bias."""
    channels = shape[0]
    return (
        integers(*shape, low=-127, high=128, dtype=torch.int8),
        torch.rand(channels) * 0.01 + 0.001,
        torch.randn(channels),
    )


def rounded(real: Tensor, scale: float, zero_point: int) -> Tensor:
    return torch.from_numpy(np.clip(np.rint(real.numpy() / scale) + zero_point, 0, 255))


def exact_conv(x: Tensor, zero_point: int, w: Tensor, geometry: tuple) -> Tensor:
    """Return the integer accumulators of a convolution whose padding is real 0."""
    stride, padding, dilation, groups = geometry
    function = F.conv2d if w.dim() == 4 else F.conv1d
    return function(x.double() - zero_point, w.double(), None, stride, padding, dilation, groups)


CONVOLUTIONS = {
    "pointwise": ((2, 5, 7, 9), (6, 5, 1, 1), ([1, 1], [0, 0], [1, 1], 1)),
    "strided pointwise": ((1, 16, 9, 7), (32, 16, 1, 1), ([2, 2], [0, 0], [1, 1], 1)),
    "padded": ((1, 3, 13, 11), (8, 3, 3, 3), ([2, 1], [1, 2], [1, 1], 1)),
    "dilated": ((1, 4, 15, 15), (4, 4, 3, 3), ([1, 1], [2, 2], [2, 2], 1)),
    "grouped": ((2, 12, 8, 8), (18, 4, 3, 3), ([1, 1], [1, 1], [1, 1], 3)),
    "depthwise": ((1, 20, 9, 9), (20, 1, 3, 3), ([2, 2], [1, 1], [1, 1], 20)),
    "depthwise with multiplier": ((1, 6, 9, 9), (12, 1, 5, 5), ([1, 1], [2, 2], [1, 1], 6)),
    "even kernel": ((1, 3, 10, 10), (7, 3, 2, 4), ([2, 4], [0, 0], [1, 1], 1)),
    "one dimension": ((2, 6, 17), (10, 6, 3), ([2], [1], [1], 1)),
}


@pytest.mark.parametrize("zero_point", [0, 7, 255], ids=["no zero point", "low", "all negative"])
@pytest.mark.parametrize("shapes", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_convolution_sums_exactly_and_rounds_once(shapes: tuple, zero_point: int) -> None:
    x_shape, w_shape, geometry = shapes
    q_x, (q_w, w_scale, bias) = integers(*x_shape), weight(*w_shape)
    channels = (-1, *[1] * (len(w_shape) - 2))
    sums = exact_conv(q_x, zero_point, q_w, geometry) * 0.05 * w_scale.reshape(channels)
    real = sums + bias.reshape(channels)
    arguments = (q_x, 0.05, zero_point, q_w, w_scale, bias, *geometry)
    torch.testing.assert_close(ops.conv(*arguments, None, 0), real.float(), rtol=1e-5, atol=1e-4)
    scale = float(real.abs().max()) / 127
    off = (ops.conv(*arguments, scale, 128).double() - rounded(real, scale, 128)).abs()
    assert off.max() <= 1  # a float32 epilogue may tip over a half
    assert off.mean() < 0.01


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
def test_added_tensor_enters_before_the_one_rounding(relu: bool) -> None:
    x_shape, w_shape, geometry = CONVOLUTIONS["padded"]
    q_x, (q_w, w_scale, bias) = integers(*x_shape), weight(*w_shape)
    sums = exact_conv(q_x, 9, q_w, geometry) * 0.05 * w_scale.reshape(-1, 1, 1)
    other = integers(*sums.shape)
    before = other.clone()
    real = sums + bias.reshape(-1, 1, 1) + (other.double() - 40) * 0.2
    real = real.relu() if relu else real
    scale = float(real.abs().max()) / 127
    result = ops.conv_add(
        q_x, 0.05, 9, q_w, w_scale, bias, *geometry, other, 0.2, 40, scale, 100, relu
    )
    off = (result.double() - rounded(real, scale, 100)).abs()
    assert off.max() <= 1
    assert off.mean() < 0.01
    assert torch.equal(other, before)


@pytest.mark.parametrize("batch", [(3,), (2, 5), ()], ids=["matrix", "sequence", "vector"])
@pytest.mark.parametrize("sizes", [(1, 1), (17, 5), (64, 96)], ids=["one", "odd", "even"])
def test_linear_sums_exactly(batch: tuple[int, ...], sizes: tuple[int, int]) -> None:
    if not batch:
        batch = (1,)
    fan_in, fan_out = sizes
    q_x, (q_w, w_scale, bias) = integers(*batch, fan_in), weight(fan_out, fan_in)
    real = (q_x.double() - 131) @ q_w.double().T * 0.02 * w_scale + bias
    arguments = (q_x, 0.02, 131, q_w, w_scale, bias)
    torch.testing.assert_close(ops.linear(*arguments, None, 0), real.float(), rtol=1e-5, atol=1e-4)
    other = torch.randn(real.shape)
    summed = ops.linear_add(*arguments, other)
    torch.testing.assert_close(summed, (real + other).float(), rtol=1e-5, atol=1e-4)
    scale = float(real.abs().max()) / 127
    off = (ops.linear(*arguments, scale, 128).double() - rounded(real, scale, 128)).abs()
    assert off.max() <= 1


EPILOGUES = {
    "relu": (F.relu, ("relu", [], "")),
    "relu6": (F.relu6, ("hardtanh", [0.0, 6.0], "")),
    "hardswish": (F.hardswish, ("hardswish", [], "")),
    "silu": (F.silu, ("swish", [], "")),
    "gelu": (F.gelu, ("gelu", [], "none")),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), ("gelu", [], "tanh")),
    "tanh": (torch.tanh, ("tanh", [], "")),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.2), ("leaky_relu", [0.2], "")),
}


@pytest.mark.parametrize("epilogue", EPILOGUES.values(), ids=EPILOGUES.keys())
def test_fused_activation_is_the_float_one(epilogue: tuple) -> None:
    function, (post, numbers, algorithm) = epilogue
    q_x, (q_w, w_scale, bias) = integers(4, 32), weight(9, 32)
    arguments = (q_x, 0.02, 131, q_w, w_scale * 0.1, bias)
    plain = ops.linear(*arguments, None, 0)
    fused = ops.linear(*arguments, None, 0, post, numbers, algorithm)
    torch.testing.assert_close(fused, function(plain), rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("ceil_mode", [False, True], ids=["floor", "ceil"])
@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 3, 2), (3, 3, 0)], ids=str)
def test_integer_maximum_is_that_of_torch(window: tuple[int, int, int], ceil_mode: bool) -> None:
    kernel, stride, padding = window
    for height, width, dilation in itertools.product((7, 12), (9, 30), (1, 2)):
        if dilation * (kernel - 1) + 1 > min(height, width) + 2 * padding:
            continue
        q_x = integers(2, 3, height, width)
        pairs = [[one, one] for one in (kernel, stride, padding, dilation)]
        expected = F.max_pool2d(q_x.float(), kernel, stride, padding, dilation, ceil_mode)
        assert torch.equal(ops.max_pool2d(q_x, *pairs, ceil_mode), expected.to(torch.uint8))


def test_mean_of_integers_is_exact() -> None:
    q_x = integers(2, 5, 7, 9)
    expected = ((q_x.double() - 77) * 0.3).mean((2, 3))
    torch.testing.assert_close(
        ops.mean(q_x, 0.3, 77, False), expected.float(), rtol=1e-6, atol=1e-5
    )
    assert ops.mean(q_x, 0.3, 77, True).shape == (2, 5, 1, 1)


def test_quantizing_rounds_half_to_even_and_saturates() -> None:
    x = torch.tensor([-1e9, -0.25, 0.25, 0.75, 1.25, 1e9])
    assert ops.quantize(x, 0.5, 10).tolist() == [0, 10, 10, 12, 12, 255]
    assert ops.dequantize(torch.tensor([0, 10, 255], dtype=torch.uint8), 0.5, 10).tolist() == [
        -5,
        0,
        122.5,
    ]


@pytest.mark.parametrize("relu", [False, True], ids=["plain", "relu"])
def test_addition_rounds_once(relu: bool) -> None:
    a, b = integers(3, 50), integers(3, 50)
    real = (a.double() - 3) * 0.1 + (b.double() - 200) * 0.07
    real = real.relu() if relu else real
    torch.testing.assert_close(ops.add(a, 0.1, 3, b, 0.07, 200, None, 0, relu), real.float())
    off = (
        ops.add(a, 0.1, 3, b, 0.07, 200, 0.11, 120, relu).double() - rounded(real, 0.11, 120)
    ).abs()
    assert off.max() <= 1
