from __future__ import annotations

import math

import numpy as np
import pytest

from inc_core.tuning.divergence import as_outputs, output_divergence

rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(8, 5)).astype(np.float32)


def softmax(rows):
    exponentials = np.exp(rows)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "array",
    [LOGITS, softmax(LOGITS), LOGITS[:, 0], LOGITS.reshape(2, 2, 10), np.arange(4)],
    ids=["logits", "probabilities", "scalars", "feature map", "integers"],
)
def test_equal_outputs_diverge_by_nothing(array):
    assert output_divergence([array], [array.copy()]) == pytest.approx(0.0, abs=1e-12)


def test_logits_are_compared_by_the_divergence_of_their_softmax():
    other = LOGITS + rng.normal(size=LOGITS.shape)
    p, q = softmax(LOGITS.astype(float)), softmax(other)
    expected = (p * np.log(p / q)).sum(axis=1).mean()
    assert output_divergence([LOGITS], [other]) == pytest.approx(expected)
    assert output_divergence([p], [q]) == pytest.approx(expected)


def test_a_shift_of_all_logits_changes_nothing():
    assert output_divergence([LOGITS], [LOGITS + 3]) == pytest.approx(0.0, abs=1e-6)


def test_other_outputs_are_compared_by_their_relative_square_error():
    reference = np.full((2, 3, 4), 2.0)
    assert output_divergence([reference], [reference + 1]) == pytest.approx(0.25)


def test_integers_are_compared_by_the_share_that_differs():
    assert output_divergence([np.array([1, 2, 3, 4])], [np.array([1, 2, 0, 0])]) == 0.5


def test_several_outputs_count_alike():
    pair = [np.ones(4), np.ones((2, 3, 4))]
    assert output_divergence(pair, [np.ones(4), 2 * pair[1]]) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_not_finite_is_infinitely_far(bad):
    assert output_divergence([LOGITS], [np.where(LOGITS > 1, bad, LOGITS)]) == math.inf


def test_an_output_of_another_shape_is_infinitely_far():
    assert output_divergence([LOGITS], [LOGITS[:4]]) == math.inf


def test_an_impossible_class_costs_a_lot_but_not_infinitely_much():
    certain = np.array([[1.0, 0.0]])
    assert 10 < output_divergence([certain], [certain[:, ::-1]]) < 100


def test_one_array_is_one_output():
    assert len(as_outputs(LOGITS)) == 1
    assert len(as_outputs((LOGITS, LOGITS))) == 2
