"""Loss: the mean over samples, whether the model gives it by sample or by batch."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import EvaluationError
from inc_core.testing.metric_suite import MetricSuite
from inc_metrics.loss import Loss

LOSSES = np.random.default_rng(0).random(17).astype(np.float32)


class TestLoss(MetricSuite):
    @pytest.fixture
    def make_metric(self):
        return Loss

    @pytest.fixture
    def predictions(self):
        return (LOSSES.copy(),)

    @pytest.fixture
    def labels(self):
        return {"ids": np.zeros((17, 4)), "mask": np.ones(17)}

    @pytest.fixture
    def expected(self):
        return float(LOSSES.astype(np.float64).mean())


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_loss_of_a_batch_counts_for_each_of_its_samples(shape):
    metric = Loss()
    metric.update(np.full(shape, 1.0), np.zeros(9))
    metric.update(np.full(shape, 2.0), np.zeros(1))
    assert metric.result() == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("labels", "size"),
    [
        (np.zeros((4, 2)), 4),
        ([0, 1, 2], 3),
        ([np.zeros((5, 2)), np.zeros(5)], 5),
        ({"a": np.zeros(6)}, 6),
        (7, 1),
        (None, 1),
    ],
    ids=["array", "list", "several arrays", "mapping", "number", "none"],
)
def test_labels_tell_the_size_of_the_batch(labels, size):
    metric = Loss()
    metric.update(6.0, labels)
    metric.update([0.0] * 6, np.zeros(6))
    assert metric.result() == pytest.approx(6.0 * size / (size + 6))


def test_losses_per_position_are_averaged_by_sample():
    metric = Loss()
    metric.update([[1.0, 3.0], [5.0, 7.0]], [0, 1])
    assert metric.result() == 4.0


def test_lower_is_better():
    assert Loss.higher_is_better is False


def test_number_of_losses_that_does_not_fit_is_named():
    with pytest.raises(EvaluationError, match=r"shape \(3,\) and 2 labels \(shape \(2,\)\)"):
        Loss().update([1.0, 2.0, 3.0], np.zeros(2))


def test_result_without_samples_is_an_error():
    with pytest.raises(EvaluationError, match="Loss has no result: 0 samples"):
        Loss().result()
