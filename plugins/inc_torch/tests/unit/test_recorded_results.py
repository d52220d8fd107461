"""What recording says of results is what torch gives."""

from __future__ import annotations

import pytest
import torch

from inc_torch.recording.results import result_of

aten = torch.ops.aten


def r(*size):
    return torch.randn(*size)


CALLS = {
    "relu": (aten.relu.default, (r(2, 3),)),
    "sigmoid of integers": (aten.sigmoid.default, (torch.ones(3, dtype=torch.int64),)),
    "addition": (aten.add.Tensor, (r(2, 1, 4), r(3, 1))),
    "a number": (aten.mul.Tensor, (r(2, 3), 2)),
    "integers and floats": (aten.add.Tensor, (torch.ones(3, dtype=torch.int64), r(2, 3))),
    "division of integers": (aten.div.Tensor, (torch.ones(3, dtype=torch.int64), 2)),
    "half": (aten.sub.Tensor, (r(3).half(), r(3))),
    "batch norm": (
        aten.batch_norm.default,
        (r(2, 3, 4), *[torch.ones(3)] * 4, False, 0.1, 1e-5, True),
    ),
    "layer norm": (aten.layer_norm.default, (r(2, 3, 4), [3, 4])),
    "linear": (aten.linear.default, (r(2, 3, 4), r(5, 4), r(5))),
    "embedding": (aten.embedding.default, (r(9, 4), torch.zeros(2, 3, dtype=torch.int64))),
    "conv1d": (aten.conv1d.default, (r(2, 4, 17), r(6, 2, 3), None, [2], [1], [3], 2)),
    "conv2d": (aten.conv2d.default, (r(2, 3, 13, 9), r(6, 3, 3, 2), r(6), [2, 1], [1, 0], [1, 2])),
    "conv2d of one stride": (aten.conv2d.default, (r(2, 3, 13, 9), r(6, 3, 3, 3), None, [2])),
    "max pool": (aten.max_pool2d.default, (r(2, 3, 13, 9), [3, 2])),
    "max pool, rounded up": (aten.max_pool2d.default, (r(3, 14, 9), [3], [2], [1], [1], True)),
    "max pool, one fewer": (aten.max_pool2d.default, (r(3, 5, 5), [2], [4], [0], [1], True)),
    "adaptive pool": (aten.adaptive_avg_pool2d.default, (r(2, 3, 8, 9), [2, 3])),
    "attention": (
        aten.scaled_dot_product_attention.default,
        (r(2, 3, 5, 4), r(2, 3, 7, 4), r(2, 3, 7, 6)),
    ),
    "masked attention": (
        aten.scaled_dot_product_attention.default,
        (r(2, 3, 5, 4), r(2, 3, 7, 4), r(2, 3, 7, 6), r(2, 1, 1, 7)),
    ),
    "flatten": (aten.flatten.using_ints, (r(2, 3, 4), 1)),
}


def without_data(value):
    return value.to("meta") if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("name", CALLS)
def test_shapes_and_dtypes_are_those_of_torch(name):
    target, args = CALLS[name]
    expected = target(*args)
    found = result_of(target, [without_data(one) for one in args], {})
    assert found.is_meta
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


MISFITS = {
    "addition": (aten.add.Tensor, (r(2, 3), r(2, 4))),
    "batch norm": (
        aten.batch_norm.default,
        (r(2, 4), *[torch.ones(3)] * 4, False, 0.1, 1e-5, True),
    ),
    "layer norm": (aten.layer_norm.default, (r(2, 3), [4])),
    "linear": (aten.linear.default, (r(2, 3), r(5, 4))),
    "convolution": (aten.conv2d.default, (r(2, 3, 8, 8), r(6, 2, 3, 3))),
    "attention": (
        aten.scaled_dot_product_attention.default,
        (r(2, 3, 5, 4), r(1, 3, 7, 4), r(2, 3, 7, 4)),
    ),
    "mask": (
        aten.scaled_dot_product_attention.default,
        (r(2, 3, 5, 4), r(2, 3, 7, 4), r(2, 3, 7, 4), r(2, 1, 1, 8)),
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_shapes_that_do_not_fit_are_refused(name):
    target, args = MISFITS[name]
    with pytest.raises(RuntimeError):
        result_of(target, [without_data(one) for one in args], {})
