from __future__ import annotations

import numpy as np
import pytest

from inc_core import Pruning, Quantization, load
from inc_core.errors import ConfigError, TrainingError
from inc_core.testing.toy import ToyAccuracy, make_classifier
from tests.unit.facade.training_loops import loader_of, make_train


def conf(**fields):
    return {"pruning": {"approach": {"weight_compression": {"target_sparsity": 0.5, **fields}}}}


@pytest.fixture
def make_pruning(plugins):
    def make(**fields):
        model = make_classifier()
        prune = Pruning(conf(**fields), plugins=plugins)
        prune.model = model
        prune.eval_dataloader = loader_of(model)
        prune.metric = ToyAccuracy
        prune.q_func = make_train(prune, loader_of(model))
        return prune

    return make


def test_the_hooks_prune_to_the_target_and_accuracy_is_told(make_pruning):
    pruned = make_pruning().fit()
    assert [row.zeros for row in pruned.sparsity.rows] == [128, 128, 128, 32]
    assert pruned.complete
    assert pruned.baseline == 1.0
    assert pruned.accuracy > 0.8
    assert "accuracy 0." in pruned.report()
    assert "50.00%" in pruned.report()


def test_the_given_model_stays_as_it_was(make_pruning):
    prune = make_pruning()
    before = prune.model.node("fc0").arrays["weight"].copy()
    prune.fit()
    assert np.array_equal(prune.model.node("fc0").arrays["weight"], before)


def test_zeros_survive_saving_and_loading(make_pruning, plugins, tmp_path):
    pruned = make_pruning().fit()
    pruned.save(tmp_path / "out")
    restored = load(tmp_path / "out", plugins=plugins)
    for name, mask in pruned.masks.items():
        weight = restored.model.node(name.removesuffix(".weight")).arrays["weight"]
        assert np.array_equal(weight != 0, mask)
    assert restored.facts["sparsity"] == pruned.sparsity.to_json()
    x = np.ones((2, 16), np.float32)
    assert np.array_equal(restored.predict(x), pruned.predict(x))
    assert "Sparsity: 50.00%" in restored.report()


def test_a_pruned_model_can_be_pruned_further_from_its_zeros(make_pruning, plugins):
    pruned = make_pruning().fit()
    locked = make_pruning(prune_type="pattern_lock")
    locked.model = pruned.model
    again = locked.fit()
    assert all(np.array_equal(again.masks[name], pruned.masks[name]) for name in pruned.masks)


def test_zeros_stay_zero_in_integers(make_pruning, plugins, tmp_path):
    pruned = make_pruning().fit()
    loader = loader_of(make_classifier())
    quantizer = Quantization(
        {"tuning": {"exit_policy": {"performance_only": True}}}, plugins=plugins
    )
    quantizer.model = pruned.model
    quantizer.calib_dataloader = loader
    tuned = quantizer.fit()
    q_weights = tuned.adaptor.integer_weights(tuned.model)
    for name, mask in pruned.masks.items():
        assert not q_weights[name.removesuffix(".weight")][~mask].any()


@pytest.mark.parametrize("name", ["train_func", "q_func", "pruning_func"])
def test_the_training_function_has_three_names(plugins, name):
    prune = Pruning(conf(), plugins=plugins)
    setattr(prune, name, len)
    assert prune.train_func is prune.q_func is prune.pruning_func is len


def test_everything_in_one_call(make_pruning, plugins):
    prune = Pruning(conf(), plugins=plugins)
    model = make_classifier()
    pruned = prune(
        model, pruning_func=make_train(prune, loader_of(model)), eval_func=lambda net: 0.5
    )
    assert (pruned.baseline, pruned.accuracy) == (0.5, 0.5)


def test_old_batch_names_of_the_hooks_work(make_pruning):
    prune = make_pruning()

    def train(net):
        prune.pre_epoch_begin()
        for epoch in range(5):
            prune.on_epoch_begin(epoch)
            prune.on_batch_begin(0)
            prune.on_post_grad()
            prune.on_batch_end()
            prune.on_epoch_end()
        prune.post_epoch_end()

    prune.train_func = train
    assert prune.fit().sparsity.sparsity == 0.5


def test_the_section_train_replaces_a_function(make_pruning):
    prune = make_pruning()
    document = conf()
    document["pruning"]["train"] = {"end_epoch": 5, "optimizer": {"SGD": {"learning_rate": 0.02}}}
    configured = Pruning(document, plugins=prune._plugins)
    configured.model = prune.model
    configured.train_dataloader = loader_of(prune.model)
    pruned = configured.fit()
    assert pruned.sparsity.sparsity == 0.5
    assert pruned.accuracy is None
    assert "accuracy was not evaluated" in pruned.report()


def test_a_registered_hook_is_called_too(make_pruning):
    prune = make_pruning()
    epochs = []
    prune.register_hook("on_epoch_begin", epochs.append)
    prune.fit()
    assert epochs == [0, 1, 2, 3, 4]


def test_sparsity_can_be_asked_for_while_training(make_pruning):
    prune = make_pruning()
    seen = []
    prune.register_hook("on_epoch_end", lambda: seen.append(prune.sparsity().sparsity))
    prune.fit()
    assert seen == sorted(seen)
    assert seen[-1] == 0.5


def test_a_hook_outside_of_a_training_is_an_error(make_pruning):
    with pytest.raises(TrainingError, match=r"on_epoch_begin\(\) was called outside of a training"):
        make_pruning().on_epoch_begin(0)


def test_an_unknown_hook_names_the_closest(make_pruning):
    with pytest.raises(ConfigError, match="Did you mean 'on_step_end'"):
        make_pruning().register_hook("on_steps_end", len)


def test_a_function_that_returns_another_model_is_an_error(make_pruning):
    prune = make_pruning()
    prune.train_func = lambda net: type(net)(net.model)
    with pytest.raises(TrainingError, match="returned another model"):
        prune.fit()


def test_without_a_training_is_an_error(make_pruning):
    prune = make_pruning()
    prune.train_func = None
    with pytest.raises(ConfigError, match="no training: set train_func"):
        prune.fit()


def test_a_section_train_without_data_is_an_error(make_pruning, plugins):
    prune = Pruning({**conf(), "train": {"epoch": 2}}, plugins=plugins)
    prune.model = make_classifier()
    with pytest.raises(ConfigError, match="needs data: set train_dataloader"):
        prune.fit()


def test_a_mistyped_attribute_is_an_error(make_pruning):
    with pytest.raises(AttributeError, match="Did you mean 'train_dataloader'"):
        make_pruning().train_loader = []
