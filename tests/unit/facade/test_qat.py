"""Quantization-aware training on the toy framework: learnt ranges reach the kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inc_core import Quantization, load
from inc_core.errors import ConfigError
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.spec import TensorKey
from inc_core.testing.toy import ToyAccuracy, make_classifier
from tests.unit.facade.training_loops import loader_of, make_train


@pytest.fixture
def make_trainer(plugins, tmp_path):
    def make(model=None, /, **quantization):
        model = make_classifier() if model is None else model
        quantizer = Quantization(
            {
                "quantization": {"approach": "quant_aware_training", **quantization},
                "tuning": {"workspace": {"path": str(tmp_path / "workspace")}},
            },
            plugins=plugins,
        )
        quantizer.model = model
        quantizer.eval_dataloader = loader_of(model)
        quantizer.metric = ToyAccuracy
        return quantizer

    return make


def test_a_trained_model_is_quantized_with_the_ranges_that_were_learnt(make_trainer):
    quantizer = make_trainer()
    nets = []

    def train(net):
        nets.append(net)
        make_train(quantizer, loader_of(quantizer.model), epochs=2)(net)

    quantizer.q_func = train
    tuned = quantizer.fit()
    assert tuned.goal_met
    assert all(config.mode == "static" for config in tuned.recipe.ops.values())
    for node in tuned.model.nodes:
        if node.type == "Linear":
            lo, hi = nets[0].ranges[TensorKey(node.inputs[0])]
            expected = choose_qparams(lo, hi, node.config.activation)
            assert node.qparams["input"].scale == expected.scale
            assert np.array_equal(node.arrays["bias"], nets[0].arrays[node.name, "bias"])


def test_what_was_simulated_is_what_the_integer_kernels_compute(make_trainer):
    quantizer = make_trainer()
    nets = []

    def train(net):
        nets.append(net)
        net.forward(np.random.default_rng(2).normal(size=(64, 16)))

    quantizer.q_func = train
    tuned = quantizer.fit()
    nets[0].observing = False
    x = np.random.default_rng(3).normal(size=(8, 16)).astype(np.float32)
    assert np.allclose(tuned.predict(x), nets[0].forward(x), atol=1e-5)


def with_best_seen(config):
    policy = replace(config.tuning.exit_policy, on_goal_not_met="best_seen")
    return replace(config, tuning=replace(config.tuning, exit_policy=policy))


def test_the_goal_is_relative_to_the_model_before_the_training(make_trainer):
    quantizer = make_trainer()
    quantizer.config = with_best_seen(quantizer.config)

    def ruin(net):
        net.forward(np.ones((4, 16)))
        net.arrays["fc3", "weight"][...] = 0

    quantizer.q_func = ruin
    tuned = quantizer.fit()
    assert tuned.facts["accuracy"]["baseline"] == 1.0
    assert not tuned.goal_met


def test_calibration_data_gives_ranges_to_start_from(make_trainer):
    quantizer = make_trainer()
    quantizer.calib_dataloader = loader_of(quantizer.model)
    starts = []
    quantizer.q_func = lambda net: starts.append(dict(net.ranges))
    quantizer.fit()
    assert set(starts[0]) == {TensorKey(n) for n in ("x", "relu0", "relu1", "relu2")}


def test_an_op_whose_range_nobody_learnt_stays_float_and_says_why(make_trainer):
    quantizer = make_trainer()
    quantizer.q_func = lambda net: None
    tuned = quantizer.fit()
    assert set(tuned.facts["float_ops"]) == {"fc0", "fc1", "fc2", "fc3"}
    assert "learnt no range of 'x'" in tuned.facts["float_ops"]["fc0"]


def test_the_section_train_replaces_a_function(make_trainer):
    quantizer = make_trainer(
        train={"epoch": 2, "iteration": 4, "optimizer": {"SGD": {"learning_rate": 0.01}}}
    )
    quantizer.train_dataloader = loader_of(quantizer.model)
    assert quantizer.fit().goal_met


def test_a_trained_and_quantized_model_is_restored(make_trainer, plugins, tmp_path):
    quantizer = make_trainer()
    quantizer.q_func = make_train(quantizer, loader_of(quantizer.model), epochs=1)
    tuned = quantizer.fit()
    tuned.save(tmp_path / "out")
    x = np.ones((2, 16), np.float32)
    assert np.array_equal(load(tmp_path / "out", plugins=plugins).predict(x), tuned.predict(x))


def test_the_call_style_with_q_func_trains(make_trainer):
    quantizer = make_trainer()
    tuned = quantizer(q_func=make_train(quantizer, loader_of(quantizer.model), epochs=1))
    assert tuned.goal_met


def test_a_rewrite_cannot_be_combined_with_training(make_trainer):
    quantizer = make_trainer(recipes={"bias_correction": True})
    quantizer.q_func = lambda net: None
    with pytest.raises(ConfigError, match="cannot be combined with quant_aware_training"):
        quantizer.fit()


def test_what_is_no_function_is_no_training(make_trainer):
    quantizer = make_trainer()
    quantizer.q_func = 3
    with pytest.raises(ConfigError, match=r"it is called with; received 3 \(int\)"):
        quantizer.fit()


def test_without_a_training_is_an_error(make_trainer):
    with pytest.raises(ConfigError, match="no training: set train_func"):
        make_trainer().fit()
