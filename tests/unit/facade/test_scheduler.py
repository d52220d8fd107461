from __future__ import annotations

import numpy as np
import pytest

from inc_core import Distillation, Pruning, Quantization, Scheduler
from inc_core.errors import ConfigError
from inc_core.testing.toy import ToyAccuracy, make_classifier
from tests.unit.facade.training_loops import loader_of, make_train


@pytest.fixture
def model():
    return make_classifier()


@pytest.fixture
def prune(plugins):
    conf = {"pruning": {"approach": {"weight_compression": {"target_sparsity": 0.4}}}}
    return Pruning(conf, plugins=plugins)


@pytest.fixture
def make_quantizer(plugins, tmp_path):
    def make(approach="quant_aware_training"):
        return Quantization(
            {
                "quantization": {"approach": approach},
                "tuning": {
                    "workspace": {"path": str(tmp_path / "workspace")},
                    "accuracy_criterion": {"relative": 0.2},
                },
            },
            plugins=plugins,
        )

    return make


@pytest.fixture
def scheduler(model):
    scheduler = Scheduler()
    scheduler.model = model
    scheduler.eval_dataloader = loader_of(model)
    scheduler.metric = ToyAccuracy
    return scheduler


def zeros_of(tuned):
    weights = tuned.adaptor.integer_weights(tuned.model).values()
    return sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)


def test_pruning_and_quantization_share_one_training(scheduler, prune, make_quantizer, model):
    combined = scheduler.combine(prune, make_quantizer())
    combined.train_func = make_train(combined, loader_of(model))
    scheduler.append(combined)
    tuned = scheduler.fit()
    assert tuned.goal_met
    assert tuned.facts["ops"] == {"Linear": {"int8": 4}}
    assert tuned.facts["sparsity"]["sparsity"] == pytest.approx(0.4, abs=0.002)
    assert zeros_of(tuned) >= 0.4 - 0.002
    assert "Sparsity: " in tuned.report()


def test_the_hooks_of_one_component_tell_it_alone(scheduler, prune, make_quantizer, model):
    combined = scheduler.combine(prune, make_quantizer())
    told = []
    combined.register_hook("on_epoch_begin", told.append)
    combined.train_func = make_train(prune, loader_of(model))
    scheduler.append(combined)
    assert scheduler.fit().facts["sparsity"]["sparsity"] == pytest.approx(0.4, abs=0.002)
    assert told == []


def test_the_hooks_of_a_combination_are_told_everything(scheduler, prune, make_quantizer, model):
    combined = scheduler.combine(prune, make_quantizer())
    told = []
    combined.register_hook("on_epoch_begin", told.append)
    combined.train_func = make_train(combined, loader_of(model), epochs=5)
    scheduler.append(combined)
    scheduler()
    assert told == [0, 1, 2, 3, 4]


def test_components_run_one_after_the_other_on_each_others_results(
    scheduler, prune, make_quantizer, model
):
    prune.train_func = make_train(prune, loader_of(model))
    quantizer = make_quantizer("post_training_static_quant")
    quantizer.calib_dataloader = loader_of(model)
    scheduler.append(prune, quantizer)
    tuned = scheduler.fit()
    assert zeros_of(tuned) >= 0.4 - 0.002


def test_pruning_and_distillation_share_one_training(scheduler, prune, plugins, model):
    distill = Distillation(plugins=plugins)
    distill.teacher_model = model
    combined = scheduler.combine(prune, distill)
    combined.train_func = make_train(combined, loader_of(model), distill=True)
    scheduler.append(combined)
    result = scheduler.fit()
    assert result.sparsity.sparsity == pytest.approx(0.4, abs=0.002)
    assert result.accuracy > 0.8


def test_all_three_share_one_training(scheduler, prune, make_quantizer, plugins, model):
    distill = Distillation(plugins=plugins)
    distill.teacher_model = model
    combined = scheduler.combine(prune, make_quantizer(), distill)
    combined.train_func = make_train(combined, loader_of(model), distill=True)
    scheduler.append(combined)
    assert zeros_of(scheduler.fit()) >= 0.4 - 0.002


def test_the_result_is_the_same_every_time(scheduler, prune, model):
    prune.train_func = make_train(prune, loader_of(model))
    scheduler.append(prune)
    first, second = scheduler.fit(), scheduler.fit()
    x = np.ones((1, 16), np.float32)
    assert np.array_equal(first.predict(x), second.predict(x))


def test_a_quantization_without_training_cannot_be_combined(scheduler, prune, make_quantizer):
    with pytest.raises(
        ConfigError, match="needs the approach quant_aware_training, it has 'static'"
    ):
        scheduler.combine(prune, make_quantizer("static"))


def test_a_combination_that_was_not_appended_is_an_error(scheduler, prune, make_quantizer):
    scheduler.append(prune)
    scheduler.combine(prune, make_quantizer())
    with pytest.raises(ConfigError, match="a combination that was not appended"):
        scheduler.fit()


def test_a_quantization_must_be_the_last(scheduler, prune, make_quantizer):
    scheduler.append(make_quantizer(), prune)
    with pytest.raises(ConfigError, match="append it last"):
        scheduler.fit()


@pytest.mark.parametrize("wrong", [len, "pruning"])
def test_only_components_are_taken(scheduler, wrong):
    with pytest.raises(ConfigError, match="a scheduler runs Pruning"):
        scheduler.append(wrong)
    with pytest.raises(ConfigError, match="can be combined, received"):
        scheduler.combine(wrong)


def test_two_of_a_kind_cannot_be_combined(scheduler, prune):
    with pytest.raises(ConfigError, match="one component of each kind"):
        scheduler.combine(prune, prune)


def test_an_empty_scheduler_is_an_error(scheduler):
    with pytest.raises(ConfigError, match="has nothing to run"):
        scheduler.fit()
