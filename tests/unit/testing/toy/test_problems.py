"""Searches on toy problems end as the problem says."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import DataError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.testing.adaptor_checks.measuring import calibrate
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data, make_model
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.testing.toy.problems import ToyClassifierDataset

OPTIONS = ("bias_correction", "cross_layer_equalization")


class Problem:
    """A model with its data, and the accuracy of any recipe."""

    def __init__(self, approach="static", **keywords):
        self.adaptor = ToyAdaptor(AdaptorContext("toy", approach=approach))
        self.model = make_classifier(**keywords)
        self.data = make_data(self.model)
        self.space = TuningSpace(tuple(self.adaptor.capabilities(self.model)))

    def accuracy(self, recipe):
        model = self.adaptor.rewrite(self.model, recipe.options)
        batches = [{"x": self.data.inputs}]
        calibration = calibrate(self.adaptor, model, self.space, batches, channels=True)
        return self.evaluate(self.adaptor.quantize(model, recipe, calibration))

    def evaluate(self, model):
        metric = ToyAccuracy()
        metric.update(self.adaptor.predict(model, self.data.inputs), self.data.labels)
        return metric.result()

    def all_but(self, layers):
        names = {f"fc{layer}" for layer in layers}
        spared = {op: self.space.fallback(op) for op in self.space.ops if op.name in names}
        return self.space.default().with_ops(spared)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("approach", ["static", "dynamic"])
class TestClassifier:
    def test_float_model_is_always_right(self, approach, seed):
        problem = Problem(approach, seed=seed)
        assert problem.evaluate(problem.model) == 1.0

    def test_without_culprits_every_layer_may_be_int8(self, approach, seed):
        problem = Problem(approach, seed=seed)
        assert problem.accuracy(problem.space.default()) == 1.0

    def test_each_culprit_alone_breaks_the_model(self, approach, seed):
        problem = Problem(approach, seed=seed, culprits=(0, 2))
        for culprit in (0, 2):
            others = set(range(4)) - {culprit}
            assert problem.accuracy(problem.all_but(others)) < 0.8

    def test_culprits_in_float_mend_it(self, approach, seed):
        problem = Problem(approach, seed=seed, culprits=(0, 2))
        assert problem.accuracy(problem.all_but({0, 2})) == 1.0

    def test_rewrites_do_not_mend_culprits(self, approach, seed):
        problem = Problem(approach, seed=seed, culprits=(2,))
        recipe = Recipe(problem.space.default().ops, 256, OPTIONS)
        assert problem.accuracy(recipe) < 0.8

    def test_spread_layer_breaks_the_model(self, approach, seed):
        problem = Problem(approach, seed=seed, spread_layers=(2,))
        assert problem.accuracy(problem.space.default()) < 0.8

    def test_equalization_mends_spread_layers(self, approach, seed):
        problem = Problem(approach, seed=seed, spread_layers=(1, 2))
        recipe = Recipe(problem.space.default().ops, 256, OPTIONS)
        assert problem.accuracy(recipe) == 1.0


@pytest.mark.parametrize("algorithm", ["minmax", "kl", "mse", "percentile"])
def test_no_algorithm_mends_a_culprit(algorithm):
    problem = Problem(culprits=(1,))
    config = next(
        config
        for config in problem.space.options(problem.space.ops[1])
        if config.activation is not None and config.activation.algorithm == algorithm
    )
    recipe = problem.space.all_float().with_op(problem.space.ops[1], config)
    assert problem.accuracy(recipe) < 0.8


def test_equal_seeds_give_equal_problems():
    adaptor = ToyAdaptor(AdaptorContext("toy"))
    one, other = make_classifier(3), make_classifier(3)
    assert adaptor.digest(one) == adaptor.digest(other)
    np.testing.assert_array_equal(make_data(one).inputs, make_data(other).inputs)


def test_other_seeds_give_other_data():
    model = make_classifier()
    assert not np.array_equal(make_data(model, seed=0).inputs, make_data(model, seed=1).inputs)


def test_dataset_gives_pairs():
    data = make_data(make_classifier(), samples=32)
    inputs, label = data[0]
    assert len(data) == 32
    assert inputs.shape == (16,)
    assert inputs.dtype == np.float32
    assert label in range(4)


def test_dataset_by_parameters_is_that_of_the_model():
    data = make_data(make_classifier(seed=2, layers=3), samples=40, seed=5)
    named = ToyClassifierDataset(samples=40, seed=5, model_seed=2, layers=3)
    np.testing.assert_array_equal(named.labels, data.labels)


def test_dataset_filters_and_transforms():
    data = ToyClassifierDataset(
        filter=lambda inputs, label: label == 1, transform=lambda sample: (-sample[0], sample[1])
    )
    assert {int(data[index][1]) for index in range(len(data))} == {1}
    np.testing.assert_array_equal(data[0][0], -data.inputs[0])


def test_data_of_a_model_with_two_inputs_is_an_error():
    with pytest.raises(DataError, match=r"one input, received \['a', 'b'\]"):
        make_data(make_model())
