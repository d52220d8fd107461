from __future__ import annotations

import numpy as np
import pytest

from inc_core.quant.equalize import (
    MAX_FACTOR,
    EqualizedPair,
    equalize_layers,
    equalize_pair,
    equalizing_factors,
)


def channel_range(weight, axis):
    others = tuple(dim for dim in range(weight.ndim) if dim != axis)
    return np.abs(weight).max(axis=others)


def test_factors_are_the_root_of_the_ratio():
    factors = equalizing_factors(np.array([4.0, 1.0]), np.array([1.0, 9.0]))
    np.testing.assert_allclose(factors, [2, 1 / 3])
    assert factors.dtype == np.float32


def test_channels_that_are_zero_on_either_side_are_left_alone():
    factors = equalizing_factors(np.array([0.0, 5.0, 0.0]), np.array([3.0, 0.0, 0.0]))
    np.testing.assert_array_equal(factors, 1)


def test_factors_are_bounded():
    factors = equalizing_factors(np.array([1e30, 1e-30]), np.array([1e-30, 1e30]))
    np.testing.assert_allclose(factors, [MAX_FACTOR, 1 / MAX_FACTOR])


def test_both_layers_have_equal_ranges_afterwards(rng):
    first = rng.normal(size=(5, 3)) * 10.0 ** rng.uniform(-2, 2, (5, 1))
    second = rng.normal(size=(4, 5))
    factors = equalize_pair(first, second)
    np.testing.assert_allclose(
        channel_range(first / factors[:, None], 0), channel_range(second * factors, 1), rtol=1e-5
    )


def test_depthwise_and_grouped_layers_are_read_by_group(rng):
    first = rng.normal(size=(6, 2, 1, 1))
    depthwise, grouped = rng.normal(size=(6, 1, 3, 3)), rng.normal(size=(4, 3, 3, 3))
    expected = np.sqrt(channel_range(first, 0) / channel_range(depthwise, 0))
    np.testing.assert_allclose(equalize_pair(first, depthwise, groups=6), expected, rtol=1e-6)
    second_range = np.concatenate([channel_range(grouped[:2], 1), channel_range(grouped[2:], 1)])
    expected = np.sqrt(channel_range(first, 0) / second_range)
    np.testing.assert_allclose(equalize_pair(first, grouped, groups=2), expected, rtol=1e-6)


@pytest.fixture
def chain(rng):
    """Three layers; the middle one is depthwise with a spread of four orders of magnitude."""
    spread = 10.0 ** rng.uniform(-2, 2, 8)
    arrays = {
        "w1": rng.normal(size=(8, 3)) * spread[:, None],
        "b1": rng.normal(size=8) * spread,
        "w2": rng.normal(size=(8, 1)),
        "b2": rng.normal(size=8),
        "w3": rng.normal(size=(5, 8)) / spread,
    }
    pairs = [EqualizedPair("w1", "b1", "w2", groups=8), EqualizedPair("w2", "b2", "w3")]
    return {name: array.astype(np.float32) for name, array in arrays.items()}, pairs


def forward(arrays, inputs):
    hidden = np.maximum(inputs @ arrays["w1"].T + arrays["b1"], 0)
    hidden = np.maximum(hidden * arrays["w2"][:, 0] + arrays["b2"], 0)
    return hidden @ arrays["w3"].T


def test_a_chain_keeps_its_function_and_settles(rng, chain):
    arrays, pairs = chain
    inputs = rng.normal(size=(20, 3)).astype(np.float32)
    equalized = equalize_layers(arrays, pairs).arrays
    np.testing.assert_allclose(forward(equalized, inputs), forward(arrays, inputs), rtol=2e-4)
    for pair in pairs:
        factors = equalize_pair(equalized[pair.weight], equalized[pair.next_weight], pair.groups)
        np.testing.assert_allclose(factors, 1, atol=0.01)
    assert {array.dtype for array in equalized.values()} == {np.dtype(np.float32)}


def test_equalizing_leaves_its_arguments_alone(chain):
    arrays, pairs = chain
    before = {name: array.copy() for name, array in arrays.items()}
    equalize_layers(arrays, pairs)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])


def test_layers_without_bias_are_equalized_too(chain):
    arrays, _ = chain
    equalized = equalize_layers(arrays, [EqualizedPair("w1", None, "w2", groups=8)]).arrays
    assert set(equalized) == {"w1", "w2"}


def test_no_pairs_change_nothing(chain):
    assert equalize_layers(chain[0], []) == ({}, ())


def test_the_factors_say_by_what_the_channels_between_two_layers_are_divided(rng, chain):
    arrays, pairs = chain
    inputs = rng.normal(size=(20, 3)).astype(np.float32)
    equalized, factors = equalize_layers(arrays, pairs)

    def hidden(values):
        first = np.maximum(inputs @ values["w1"].T + values["b1"], 0)
        return first, np.maximum(first * values["w2"][:, 0] + values["b2"], 0)

    for before, after, factor in zip(hidden(arrays), hidden(equalized), factors, strict=True):
        np.testing.assert_allclose(before / factor, after, rtol=1e-4, atol=1e-6)
