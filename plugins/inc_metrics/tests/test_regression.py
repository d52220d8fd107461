"""MAE, MSE and RMSE against scikit-learn, and the traps of dtypes and broadcasting."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error

from inc_core.errors import ConfigError, EvaluationError
from inc_core.testing.metric_suite import MetricSuite
from inc_metrics.regression import MAE, MSE, RMSE

RNG = np.random.default_rng(0)
FOUND = RNG.normal(size=(23, 3)).astype(np.float32)
WANTED = RNG.normal(size=(23, 3))
METRICS = (MAE, MSE, RMSE)


def value(metric_class, predictions, labels):
    metric = metric_class()
    metric.update(predictions, labels)
    return metric.result()


class RegressionSuite(MetricSuite):
    @pytest.fixture
    def predictions(self):
        return FOUND.copy()

    @pytest.fixture
    def labels(self):
        return WANTED.copy()


class TestMAE(RegressionSuite):
    @pytest.fixture
    def make_metric(self):
        return MAE

    @pytest.fixture
    def expected(self):
        return mean_absolute_error(WANTED, FOUND)


class TestMSE(RegressionSuite):
    @pytest.fixture
    def make_metric(self):
        return MSE

    @pytest.fixture
    def expected(self):
        return mean_squared_error(WANTED, FOUND)


class TestRMSE(RegressionSuite):
    @pytest.fixture
    def make_metric(self):
        return RMSE

    @pytest.fixture
    def expected(self):
        return np.sqrt(mean_squared_error(WANTED.ravel(), FOUND.ravel()))


@pytest.mark.parametrize("metric", METRICS)
def test_lower_is_better(metric):
    assert metric.higher_is_better is False


@pytest.mark.parametrize("metric", METRICS)
def test_unsigned_integers_do_not_wrap_around(metric):
    assert value(metric, np.array([1], np.uint8), np.array([2], np.uint8)) == 1.0


def test_squares_of_float16_do_not_overflow():
    assert value(MSE, np.array([1000], np.float16), np.array([0], np.float16)) == 1e6


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1, 3])
def test_column_and_vector_are_compared_row_by_row(metric, rows):
    assert value(metric, np.arange(rows)[:, np.newaxis], np.arange(rows)) == 0.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("shape", [(3,), (1, 3), (23, 1), (23,), (3, 23)])
def test_nothing_is_broadcast(metric, shape):
    with pytest.raises(EvaluationError) as error:
        value(metric, FOUND, np.zeros(shape))
    assert f"{metric.__name__}: predictions of shape (23, 3) and labels of shape {shape}" in str(
        error.value
    )


@pytest.mark.parametrize("metric", METRICS)
def test_result_without_samples_is_an_error(metric):
    with pytest.raises(EvaluationError, match=f"^{metric.__name__} has no result: 0 samples"):
        metric().result()


class TestMSEWithScores(RegressionSuite):
    @pytest.fixture
    def make_metric(self):
        return lambda: MSE(score_range=(0, 50))

    @pytest.fixture
    def expected(self):
        return mean_squared_error(WANTED, FOUND)


@pytest.mark.parametrize("metric_class", [MAE, MSE])
def test_a_sample_has_a_score_only_within_a_stated_range(metric_class):
    assert metric_class().scores(FOUND, WANTED) is None
    metric = metric_class(score_range=(0, 4))
    assert metric.score_range == (0.0, 4.0)
    assert metric.scores([[1.0, 2.0], [3.0, 3.0]], [[1.0, 2.0], [3.0, 2.0]]).tolist() == [0.0, 0.5]


def test_a_root_is_no_mean_of_scores():
    assert RMSE().score_range is None


@pytest.mark.parametrize("bad", [(4, 0), (-1, 1), (0,), 3, (0, float("inf"))])
def test_a_range_that_is_none_is_an_error(bad):
    with pytest.raises(ConfigError, match=r"MAE: score_range must hold .* such as \[0, 4\]; rec"):
        MAE(score_range=bad)
