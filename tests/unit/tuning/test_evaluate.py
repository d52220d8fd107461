from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from inc_core import common
from inc_core.errors import EvaluationError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.evaluate import FunctionEvaluator, MetricEvaluator, checked_accuracy


@pytest.fixture
def model():
    return make_classifier()


@pytest.fixture
def batches(model):
    data = make_data(model, 40)
    return [(data.inputs[k : k + 16], data.labels[k : k + 16]) for k in (0, 16, 32)]


def evaluator(loader, metric=ToyAccuracy, **options):
    return MetricEvaluator(ToyAdaptor(AdaptorContext("toy")), loader, metric, **options)


def test_all_batches_count_the_shorter_last_one_too(model, batches):
    evaluation = evaluator(batches).evaluate(model)
    assert evaluation.accuracy == 1.0
    assert evaluation.samples == 40
    assert evaluation.seconds > 0


def test_each_evaluation_starts_afresh(model, batches):
    wrong = [(inputs, labels + 1) for inputs, labels in batches]
    judge = evaluator(batches)
    assert judge.over(wrong).evaluate(model).accuracy == 0.0
    assert judge.evaluate(model).accuracy == 1.0


def test_a_metric_without_reset_starts_afresh_too(model, batches):
    class Count:
        def __init__(self):
            self.total = 0

        def update(self, predictions, labels):
            self.total += len(labels)

        def result(self):
            return self.total

    judge = evaluator(batches, Count)
    assert [judge.evaluate(model).accuracy for _ in range(2)] == [40.0, 40.0]


def test_the_direction_is_the_metrics_even_behind_a_factory(batches):
    class Loss(ToyAccuracy):
        def __init__(self):
            super().__init__()
            self.higher_is_better = False

    class Silent:
        update = result = ToyAccuracy.result

    assert evaluator(batches, common.Metric(lambda: Loss())).higher_is_better is False
    assert evaluator(batches, Loss).higher_is_better is False
    assert evaluator(batches, Silent).higher_is_better is None


def test_iteration_limits_the_batches(model, batches):
    assert evaluator(batches, iteration=2).evaluate(model).samples == 32


def test_postprocess_sees_outputs_and_labels_in_order(model, batches):
    def negate(pair):
        return -pair[0], pair[1]

    def one_class(pair):
        return np.eye(4)[pair[1]], pair[1]

    assert evaluator(batches, postprocess=(negate,)).evaluate(model).accuracy < 0.5
    assert evaluator(batches, postprocess=(negate, one_class)).evaluate(model).accuracy == 1.0


def test_watch_wraps_the_batches(model, batches):
    seen = []

    def watch(items):
        for item in items:
            seen.append(item.size)
            yield item

    evaluator(batches, watch=watch).evaluate(model)
    assert seen == [16, 16, 8]


def test_a_loader_without_labels_is_an_error(model, batches):
    with pytest.raises(EvaluationError, match="gives no labels, and the metric ToyAccuracy"):
        evaluator([(inputs, None) for inputs, _ in batches]).evaluate(model)


def test_an_empty_loader_is_an_error(model):
    with pytest.raises(EvaluationError, match="the evaluation dataloader is empty"):
        evaluator([]).evaluate(model)


def test_a_metric_that_raises_is_heard(model, batches):
    class Broken(ToyAccuracy):
        def update(self, predictions, labels):
            raise ZeroDivisionError("in update")

    with pytest.raises(ZeroDivisionError, match="in update"):
        evaluator(batches, Broken).evaluate(model)


def test_a_metric_of_nan_names_the_metric(model, batches):
    class Nan(ToyAccuracy):
        def result(self):
            return float("nan")

    with pytest.raises(EvaluationError, match=r"Nan.result\(\) returned nan, which is no accuracy"):
        evaluator(batches, Nan).evaluate(model)


def test_eval_func_gets_the_presented_model():
    judge = FunctionEvaluator(lambda model: len(model), present=lambda model: [model, model])
    assert judge.evaluate("m").accuracy == 2.0
    assert judge.evaluate("m").samples == 0


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), np.array(0.5), Fraction(1, 2)],
    ids=["float", "numpy scalar", "array of shape ()", "fraction"],
)
def test_numbers_are_accuracies(value):
    assert checked_accuracy(value) == 0.5
    assert type(checked_accuracy(value)) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(None, "eval_func returned None. Does it end without a return", id="None"),
        pytest.param([0.5, 0.7], r"eval_func returned \[0.5, 0.7\] of type list", id="list"),
        pytest.param(np.array([0.5]), r"returned array\(\[0.5\]\) of type ndarray", id="array"),
        pytest.param({"top1": 0.5}, "of type dict; one number is needed", id="dict"),
        pytest.param("0.5", "returned '0.5' of type str", id="text"),
        pytest.param(float("inf"), "eval_func returned inf, which is no accuracy", id="infinite"),
        pytest.param(np.float64("nan"), "eval_func returned nan", id="numpy NaN"),
        pytest.param(1j, "of type complex", id="complex"),
    ],
)
def test_anything_else_is_an_error_with_the_value(value, message):
    with pytest.raises(EvaluationError, match=message):
        FunctionEvaluator(lambda model: value).evaluate("model")
