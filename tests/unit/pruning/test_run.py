"""A run told by hooks what happens, on a store of arrays in place of a framework."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from inc_core.config.types import PrunerConfig, PruningConfig
from inc_core.errors import ConfigError, TrainingError
from inc_core.plugin import Plugins
from inc_core.pruning.run import PruningRun


class Store:
    """Weights by name, the gradients of which are all ones unless said otherwise."""

    def __init__(self, **weights):
        self.arrays = {f"{name}.weight": np.array(w, np.float32) for name, w in weights.items()}
        self.gradients = {name: np.ones_like(w) for name, w in self.arrays.items()}

    def weights(self, model):
        return {name: array.shape for name, array in self.arrays.items()}

    def get_weight(self, model, name):
        return self.arrays[name].copy()

    def set_weight(self, model, name, values):
        self.arrays[name][...] = values

    def get_gradient(self, model, name):
        return self.gradients.get(name)


class MaskingStore(Store):
    """One that applies masks by itself, and counts how often."""

    applied = 0

    def masker(self, model, masks):
        def apply():
            self.applied += 1
            for name, mask in masks.items():
                self.arrays[name] *= mask

        return apply


def random_store(kind=Store):
    rng = np.random.default_rng(0)
    return kind(a=rng.normal(size=(5, 7)), b=rng.normal(size=(3, 4)))


def start(store, *entries, **fields):
    entries = entries or (PrunerConfig(**fields),)
    plugins = Plugins.of()
    return PruningRun(
        store, None, PruningConfig(pruners=entries), lambda c: plugins.create("pruner", c)
    )


def train(run, store, epochs, steps=3):
    """Run loops in which the optimizer moves every weight."""
    for epoch in range(epochs):
        run.on_epoch_begin(epoch)
        for step in range(steps):
            run.on_step_begin(step)
            run.on_before_optimizer_step()
            for array in store.arrays.values():
                array += 0.01
            run.on_step_end()
        run.on_epoch_end()


def test_the_target_is_reached_exactly_and_holds_after_each_step():
    store = random_store()
    run = start(store, target_sparsity=0.6, end_epoch=2)
    train(run, store, epochs=3)
    report = run.finish()
    assert [row.zeros for row in report.rows] == [round(0.6 * 35), round(0.6 * 12)]
    assert run.finished


def test_native_masks_are_used_where_an_adaptor_has_them():
    store = random_store(MaskingStore)
    run = start(store, target_sparsity=0.5, end_epoch=1)
    train(run, store, epochs=2, steps=3)
    assert store.applied > 2 * 3
    assert run.finish().sparsity == pytest.approx(24 / 47)


def test_steps_count_over_all_epochs():
    store = random_store()
    run = start(store, target_sparsity=0.8, start_step=1, end_step=5, update_frequency_on_step=2)
    seen = []
    for epoch in range(3):
        run.on_epoch_begin(epoch)
        for step in range(2):
            run.on_step_begin(step)
            run.on_step_end()
            seen.append(round(run.rules[0].reached or 0, 2))
        run.on_epoch_end()
    assert seen == [0, 0, 0, 0.4, 0.4, 0.8]


def test_a_pruner_of_its_own_zero_goes_before_the_shared_value():
    entry = PrunerConfig(initial_sparsity=0.0, target_sparsity=0.0)
    store = random_store()
    run = start(store, entry)
    train(run, store, epochs=5)
    assert run.finish().sparsity == 0


def test_each_pruner_has_its_own_weights_and_target():
    store = random_store()
    run = start(
        store,
        PrunerConfig(names=("a",), target_sparsity=0.8, end_epoch=1),
        PrunerConfig(names=("b",), target_sparsity=0.25, end_epoch=1),
    )
    train(run, store, epochs=2)
    assert [row.zeros for row in run.finish().rows] == [28, 3]


def test_gradient_sensitivity_waits_for_the_first_gradients():
    store = random_store()
    store.gradients["b.weight"] *= np.arange(12).reshape(3, 4) >= 6
    run = start(store, prune_type="gradient_sensitivity", target_sparsity=0.5, end_epoch=0)
    run.on_epoch_begin(0)
    assert not run.masks
    run.on_step_begin(0)
    run.on_before_optimizer_step()
    run.on_step_end()
    assert (run.masks["b.weight"].ravel() == (np.arange(12) >= 6)).all()


def test_gradients_are_also_read_in_loops_without_the_optimizer_hook():
    store = random_store()
    run = start(store, prune_type="snip_momentum", target_sparsity=0.5, end_epoch=0)
    run.on_epoch_begin(0)
    run.on_step_begin(0)
    run.on_step_end()
    run.on_epoch_end()
    assert run.finished


def test_a_weight_that_never_has_a_gradient_is_an_error_at_the_end_of_the_epoch():
    store = random_store()
    del store.gradients["b.weight"]
    run = start(store, prune_type="gradient_sensitivity", end_epoch=0)
    run.on_epoch_begin(0)
    run.on_step_begin(0)
    run.on_step_end()
    with pytest.raises(TrainingError, match=r"could not score 'b.weight' \(1 of 2 weights\)"):
        run.on_epoch_end()


def test_pattern_lock_keeps_the_zeros_that_are_there():
    store = Store(a=[[0.0, 1, 2], [3, 0, 0]])
    run = start(store, prune_type="pattern_lock")
    train(run, store, epochs=2)
    assert (store.arrays["a.weight"] == 0).tolist() == [[True, False, False], [False, True, True]]
    assert run.finish().rows[0].zeros == 3
    assert run.finished


def test_a_training_that_ends_too_soon_is_reported(caplog):
    store = random_store()
    run = start(store, target_sparsity=0.8, end_epoch=4)
    train(run, store, epochs=4)
    with caplog.at_level(logging.WARNING, "inc_core.pruning"):
        run.finish()
    assert not run.finished
    assert (
        "stopped at a sparsity of 0.6, 0.8 was asked for: it is reached in epoch 4" in caplog.text
    )


def test_a_training_that_calls_no_hook_is_an_error():
    with pytest.raises(TrainingError, match="nothing was pruned"):
        start(random_store()).finish()


def test_scores_that_are_not_finite_are_an_error():
    store = Store(a=[[np.nan, 1.0]])
    run = start(store)
    with pytest.raises(TrainingError, match="training has diverged"):
        run.on_epoch_begin(0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pattern": "2:4", "target_sparsity": 0.8}, "contradicts it. Leave target_sparsity out"),
        ({"initial_sparsity": 0.9, "target_sparsity": 0.5}, "0.9 is above the target 0.5"),
        ({"prune_domain": "global", "target_sparsity": 0.99}, "max_sparsity_ratio_per_layer 0.98"),
        ({"prune_domain": "channel", "pattern": "2x2"}, "joins output channels"),
    ],
    ids=["group_target", "initial_above_target", "cap", "channels"],
)
def test_fields_that_contradict_each_other_are_an_error(fields, message):
    with pytest.raises(ConfigError, match=message):
        start(random_store(), **fields)


def test_two_pruners_of_one_weight_are_an_error():
    with pytest.raises(ConfigError, match=r"'a.weight' belongs to pruners 1 and 2"):
        start(random_store(), PrunerConfig(), PrunerConfig(names=("a",)))


def test_an_unknown_pruner_names_the_closest():
    with pytest.raises(LookupError, match="basic_magnitude"):
        start(random_store(), prune_type="basic_magnitud")
