"""Accuracy against scikit-learn in each of its forms, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from inc_core.errors import EvaluationError
from inc_core.testing.metric_suite import MetricSuite
from inc_metrics.accuracy import Accuracy

RNG = np.random.default_rng(0)
SCORES = RNG.random((29, 5)).astype(np.float32)
CLASSES = RNG.integers(0, 5, 29)
SETS = RNG.integers(0, 2, (29, 5))
# answers that are right about every second time, so that whole sets match too
NEARLY = np.abs(SETS - (RNG.random((29, 5)) < 0.1)) * 0.8 + 0.1


def accuracy(predictions, labels):
    metric = Accuracy()
    metric.update(predictions, labels)
    return metric.result()


class AccuracySuite(MetricSuite):
    @pytest.fixture
    def make_metric(self):
        return Accuracy


class TestMulticlass(AccuracySuite):
    @pytest.fixture
    def predictions(self):
        return SCORES.copy()

    @pytest.fixture
    def labels(self):
        return CLASSES.copy()

    @pytest.fixture
    def expected(self):
        return accuracy_score(CLASSES, SCORES.argmax(axis=1))


class TestBinary(AccuracySuite):
    @pytest.fixture
    def predictions(self):
        return SCORES[:, :1].copy()

    @pytest.fixture
    def labels(self):
        return SETS[:, 0].copy()

    @pytest.fixture
    def expected(self):
        return accuracy_score(SETS[:, 0], SCORES[:, 0] > 0.5)


class TestMultilabel(AccuracySuite):
    @pytest.fixture
    def predictions(self):
        return NEARLY.copy()

    @pytest.fixture
    def labels(self):
        return SETS.copy()

    @pytest.fixture
    def expected(self):
        return accuracy_score(SETS, NEARLY > 0.5)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_class_ids_agree_with_scikit_learn(pairs):
    predicted, actual = np.array(pairs).T
    assert accuracy(predicted, actual) == pytest.approx(accuracy_score(actual, predicted))


def test_whole_floats_are_class_ids():
    assert accuracy([3.0, 1.0, 2.0], [3, 1, 1]) == pytest.approx(2 / 3)


def test_probability_of_one_half_is_no():
    assert accuracy([0.5, 0.5000001], [0, 1]) == 1.0


@pytest.mark.parametrize("axis", [1, -1], ids=["classes second", "classes last"])
def test_each_position_counts(axis):
    scores = RNG.random((3, 4, 6, 5))  # batch, height, width, classes
    labels = RNG.integers(0, 5, (3, 4, 6))
    expected = float((scores.argmax(axis=-1) == labels).mean())
    assert accuracy(np.moveaxis(scores, -1, axis), labels) == pytest.approx(expected)


def test_sets_of_each_position_count_once():
    predicted = np.array([[[1, 0], [1, 1]]])  # one sample, two labels, two positions
    actual = np.array([[[1, 0], [1, 0]]])
    assert accuracy(predicted, actual) == 0.5


def test_shapes_that_do_not_fit_are_both_named():
    with pytest.raises(
        EvaluationError, match=r"Accuracy: predictions of shape \(29, 5\) and labels of shape \(28,"
    ):
        accuracy(SCORES, CLASSES[1:])


@pytest.mark.parametrize("logit", [-0.3, 1.7, np.inf])
def test_logits_of_the_labels_shape_are_refused(logit):
    with pytest.raises(EvaluationError, match=rf"received {logit}. Turn logits into prob.*topk"):
        accuracy([0.2, logit], [0, 1])


def test_result_without_samples_is_an_error():
    with pytest.raises(EvaluationError, match="Accuracy has no result: 0 samples"):
        Accuracy().result()


def test_empty_batch_adds_nothing():
    metric = Accuracy()
    metric.update(SCORES, CLASSES)
    before = metric.result()
    metric.update(SCORES[:0], CLASSES[:0])
    assert metric.result() == before


def test_pixels_have_no_scores_of_samples():
    metric = Accuracy()
    assert metric.scores(np.zeros((2, 3, 4, 4)), np.zeros((2, 4, 4), int)) is None
    assert metric.scores([[0.9, 0.8], [0.9, 0.8]], [[1, 1], [1, 0]]).tolist() == [1.0, 0.0]
