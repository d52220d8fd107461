"""F1 against scikit-learn in each of its averages, over batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from inc_core.errors import ConfigError, EvaluationError
from inc_core.testing.metric_suite import MetricSuite
from inc_metrics.f1 import F1

RNG = np.random.default_rng(0)
AVERAGES = ("macro", "micro", "weighted")
SCORES = RNG.random((31, 4))
CLASSES = RNG.integers(0, 4, 31)
SETS = RNG.integers(0, 2, (31, 4))


def f1(predictions, labels, average="binary"):
    metric = F1(average)
    metric.update(predictions, labels)
    return metric.result()


class F1Suite(MetricSuite):
    average = "binary"

    @pytest.fixture
    def make_metric(self):
        return lambda: F1(self.average)

    @pytest.fixture
    def predictions(self):
        return SCORES.copy()

    @pytest.fixture
    def labels(self):
        return CLASSES.copy()

    @pytest.fixture
    def expected(self):
        return f1_score(CLASSES, SCORES.argmax(axis=1), average=self.average)


class TestMacro(F1Suite):
    average = "macro"


class TestMicro(F1Suite):
    average = "micro"


class TestWeighted(F1Suite):
    average = "weighted"


class TestBinary(F1Suite):
    @pytest.fixture
    def predictions(self):
        return SCORES[:, 0].copy()

    @pytest.fixture
    def labels(self):
        return SETS[:, 0].copy()

    @pytest.fixture
    def expected(self):
        return f1_score(SETS[:, 0], SCORES[:, 0] > 0.5)


class TestMultilabel(F1Suite):
    average = "macro"

    @pytest.fixture
    def labels(self):
        return SETS.copy()

    @pytest.fixture
    def expected(self):
        return f1_score(SETS, SCORES > 0.5, average="macro")


pairs_of = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=30)


@pytest.mark.parametrize("average", AVERAGES)
@given(pairs=pairs_of)
def test_classes_agree_with_scikit_learn(average, pairs):
    predicted, actual = np.array(pairs).T
    expected = f1_score(actual, predicted, average=average, zero_division=0)
    assert f1(predicted, actual, average) == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_binary_agrees_with_scikit_learn(pairs):
    predicted, actual = np.array(pairs).T
    assert f1(predicted, actual) == pytest.approx(f1_score(actual, predicted, zero_division=0))


@pytest.mark.parametrize("average", AVERAGES)
@given(st.lists(st.tuples(*[st.booleans()] * 6), min_size=1, max_size=20))
def test_sets_agree_with_scikit_learn(average, rows):
    predicted, actual = np.split(np.array(rows).astype(int), 2, axis=1)
    expected = f1_score(actual, predicted, average=average, zero_division=0)
    assert f1(predicted, actual, average) == pytest.approx(expected)


def test_scores_of_two_classes_are_binary():
    assert f1([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 1, 0]) == pytest.approx(0.5)


def test_large_class_ids_take_no_memory():
    assert f1([10**15, 7], [10**15, 8], "micro") == 0.5


def test_more_classes_than_two_need_another_average():
    with pytest.raises(
        EvaluationError, match=r"'binary' takes the classes 0 and 1; received classes 0, 1, 2\. Set"
    ):
        f1([0, 1, 2], [0, 1, 1])


def test_sets_need_another_average():
    with pytest.raises(
        EvaluationError, match=r"received 4 labels per sample\. Set average to macro"
    ):
        f1(SETS, SETS)


def test_unknown_average_names_the_closest():
    with pytest.raises(ConfigError, match=r"received 'makro'\. Did you mean 'macro'\?"):
        F1("makro")


def test_shapes_that_do_not_fit_are_both_named():
    with pytest.raises(EvaluationError, match=r"F1: predictions of shape \(3,\).*shape \(2,\)"):
        f1([0, 1, 1], [0, 1])


def test_result_without_samples_is_an_error():
    with pytest.raises(EvaluationError, match="F1 has no result: 0 samples"):
        F1().result()
