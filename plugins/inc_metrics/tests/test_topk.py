"""Top-k accuracy against scikit-learn, its ties, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from inc_core.errors import ConfigError, EvaluationError
from inc_core.testing.metric_suite import MetricSuite
from inc_metrics.topk import TopK

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(37, 10)).astype(np.float32)
LABELS = RNG.integers(0, 10, 37)


def topk(predictions, labels, k=1):
    metric = TopK(k)
    metric.update(predictions, labels)
    return metric.result()


class TestTop3(MetricSuite):
    @pytest.fixture
    def make_metric(self):
        return lambda: TopK(3)

    @pytest.fixture
    def predictions(self):
        return (SCORES.copy(),)

    @pytest.fixture
    def labels(self):
        return LABELS.copy()

    @pytest.fixture
    def expected(self):
        return top_k_accuracy_score(LABELS, SCORES, k=3, labels=range(10))


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_it_agrees_with_scikit_learn(k):
    expected = top_k_accuracy_score(LABELS, SCORES, k=k, labels=range(10))
    assert topk(SCORES, LABELS, k) == pytest.approx(expected)


@pytest.mark.parametrize(
    "labels",
    [LABELS[:, np.newaxis], LABELS.astype(np.float32), LABELS.tolist(), np.eye(10)[LABELS]],
    ids=["column", "float", "list", "one-hot"],
)
def test_labels_may_have_many_forms(labels):
    assert topk(SCORES, labels) == topk(SCORES, LABELS)


def test_each_sample_has_a_score():
    metric = TopK(2)
    scores = metric.scores([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], [1, 0])
    assert scores.tolist() == [1.0, 0.0]
    with pytest.raises(EvaluationError, match="0 samples were added"):
        metric.result()


def test_scores_may_have_trailing_axes():
    assert topk(SCORES[:, :, np.newaxis, np.newaxis], LABELS) == topk(SCORES, LABELS)


@pytest.mark.parametrize("label", [2, [2], [[2]], [0, 0, 1], [[0, 0, 1]]])
def test_single_sample_needs_no_batch_axis(label):
    assert topk(np.array([0.1, 0.2, 0.7]), np.array(label)) == 1.0


def test_of_equal_scores_the_lower_class_comes_first():
    equal = np.zeros((4, 4))
    labels = np.arange(4)
    assert [topk(equal, labels, k) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]


def test_infinite_scores_are_ordered():
    assert topk([[np.inf, -np.inf, 0.0]], [0]) == 1.0


def test_integer_scores_are_taken():
    assert topk(np.array([[1, 200, 3]], np.uint8), [1]) == 1.0


@pytest.mark.parametrize("k", [0, -1, 1.5, "1", True, None])
def test_senseless_k_is_refused(k):
    with pytest.raises(ConfigError, match="k must be a whole number > 0; received"):
        TopK(k)


def test_k_above_the_number_of_classes_is_refused():
    with pytest.raises(EvaluationError, match="k=11, but the model has 10 classes"):
        topk(SCORES, LABELS, 11)


@pytest.mark.parametrize("label", [-1, 10])
def test_label_that_is_no_class_is_named(label):
    labels = np.where(np.arange(37) == 5, label, LABELS)
    with pytest.raises(EvaluationError, match=rf"label {label} is none .*\(0 to 9\).*LabelShift"):
        topk(SCORES, labels)


def test_shapes_that_do_not_fit_are_both_named():
    with pytest.raises(EvaluationError, match=r"shape \(37, 10\) and labels of shape \(36,\)"):
        topk(SCORES, LABELS[1:])


def test_labels_of_the_scores_shape_must_be_one_hot():
    with pytest.raises(EvaluationError, match=r"shape \(2, 2\).*must be one-hot"):
        topk(np.zeros((2, 2)), [[1, 1], [0, 1]])


def test_fractional_label_is_named():
    with pytest.raises(EvaluationError, match=r"no whole numbers: 0\.5 is among them"):
        topk(np.zeros((2, 2)), [0.5, 1])


def test_result_without_samples_is_an_error():
    with pytest.raises(EvaluationError, match="topk has no result: 0 samples"):
        TopK().result()
