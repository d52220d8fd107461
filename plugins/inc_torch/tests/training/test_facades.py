"""Pruning and quantization-aware training of torch modules, through the façades of the core."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional

import inc_torch.plugin
from inc_core import Distillation, Pruning, Quantization, Scheduler, load
from inc_core.plugin import Plugins
from inc_core.quant.qparams import choose_qparams
from inc_torch.training.simulation import simulation_of

from .nets import Block, batches, make_block

DOCUMENT = Path(__file__).parents[4] / "docs" / "pruning.md"


@pytest.fixture
def plugins():
    return Plugins.of(inc_torch.plugin)


@pytest.fixture
def data():
    return [(x.numpy(), y.numpy()) for x, y in batches(4, 32)]


@pytest.fixture
def net(data):
    """Return a block that was trained on the data."""
    model = make_block().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        for x, y in data:
            optimizer.zero_grad()
            functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y)).backward()
            optimizer.step()
    return model.eval()


def accuracy(data):
    def eval_func(model):
        with torch.no_grad():
            hits = [
                (model(torch.from_numpy(x)).argmax(1) == torch.from_numpy(y)).float().mean()
                for x, y in data
            ]
        return float(torch.stack(hits).mean())

    return eval_func


def make_train(hooks, data, epochs=4, rate=0.001, seen=None):
    def train(model):
        if seen is not None:
            seen.append(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        model.train()
        for epoch in range(epochs):
            hooks.on_epoch_begin(epoch)
            for step, (x, y) in enumerate(data):
                hooks.on_step_begin(step)
                x, y = torch.from_numpy(x), torch.from_numpy(y)
                output = model(x)
                loss = hooks.on_after_compute_loss(x, output, functional.cross_entropy(output, y))
                optimizer.zero_grad()
                loss.backward()
                hooks.on_before_optimizer_step()
                optimizer.step()
                hooks.on_step_end()
            hooks.on_epoch_end()

    return train


def conf(tmp_path, approach="quant_aware_training", **quantization):
    return {
        "quantization": {
            "approach": approach,
            "calibration": {"sampling_size": 64},
            **quantization,
        },
        "tuning": {
            # how fast a kernel is on this machine must not decide what is tested
            "strategy": "basic",
            "speed_gate": False,
            "accuracy_criterion": {"relative": 0.1},
            "workspace": {"path": str(tmp_path / "workspace")},
        },
    }


@pytest.fixture
def quantizer(plugins, tmp_path, net, data):
    quantizer = Quantization(conf(tmp_path), plugins=plugins)
    quantizer.model = net
    quantizer.calib_dataloader = data
    quantizer.eval_func = accuracy(data)
    return quantizer


def test_the_trained_model_runs_in_the_same_kernels_with_what_was_learnt(quantizer, data):
    seen = []
    quantizer.q_func = make_train(quantizer, data, seen=seen)
    tuned = quantizer.fit()
    assert tuned.goal_met
    kinds = tuned.facts["ops"]
    assert kinds["Conv2d"] == {"int8": 2}
    assert kinds["Linear"] == {"int8": 1}
    assert type(seen[0]) is Block
    assert simulation_of(seen[0]) is None


def test_learnt_ranges_are_those_of_the_result(quantizer, data):
    learnt = {}

    def train(model):
        make_train(quantizer, data, epochs=2)(model)
        learnt.update(simulation_of(model).ranges)

    quantizer.q_func = train
    tuned = quantizer.fit()
    compared = 0
    for name, qparams in tuned.qparams.items():
        key, _, spec = name.partition("|")
        found = [bounds for one, bounds in learnt.items() if "/".join(filter(None, one)) == key]
        if found and "uint8/asym" in spec:
            config = next(c for c in tuned.recipe.ops.values() if c.activation is not None)
            assert qparams.scale == choose_qparams(*found[0], config.activation).scale
            compared += 1
    assert compared >= 3


def test_the_kernels_compute_what_the_training_simulated(quantizer, data):
    simulated = []

    def train(model):
        make_train(quantizer, data, epochs=2)(model)
        with torch.no_grad():
            simulated.append(model.eval()(torch.from_numpy(data[0][0])).numpy())

    quantizer.q_func = train
    found = quantizer.fit().predict(data[0][0])
    noise = np.square(found - simulated[0]).sum() / np.square(simulated[0]).sum()
    # tensors that no layer reads are rounded in the kernels only
    assert 10 * np.log10(1 / noise) > 35


def test_training_needs_no_calibration_data(quantizer, data):
    quantizer.calib_dataloader = None
    quantizer.eval_func = None
    quantizer.train_dataloader = data  # for its shapes
    quantizer.q_func = make_train(quantizer, data, epochs=6)
    tuned = quantizer.fit()
    assert tuned.facts["ops"]["Conv2d"].get("int8", 0) >= 1


def test_the_section_train_replaces_a_function(plugins, tmp_path, net, data):
    adam = {"Adam": {"learning_rate": 0.001}}
    document = conf(tmp_path, train={"epoch": 3, "optimizer": adam})
    quantizer = Quantization(document, plugins=plugins)
    quantizer.model = net
    quantizer.calib_dataloader = quantizer.train_dataloader = data
    quantizer.eval_func = accuracy(data)
    assert quantizer.fit().goal_met


def test_the_given_module_stays_as_it_was(quantizer, net, data):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    quantizer.q_func = make_train(quantizer, data, epochs=1)
    quantizer.fit()
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_trained_and_quantized_model_is_restored(quantizer, plugins, data, tmp_path):
    quantizer.q_func = make_train(quantizer, data, epochs=1)
    tuned = quantizer.fit()
    tuned.save(tmp_path / "out")
    restored = load(tmp_path / "out", plugins=plugins)
    assert np.array_equal(restored.predict(data[0][0]), tuned.predict(data[0][0]))


@pytest.fixture
def prune(plugins, net, data):
    weight_compression = {"target_sparsity": 0.6, "end_epoch": 2, "prune_domain": "global"}
    prune = Pruning(
        {"pruning": {"approach": {"weight_compression": weight_compression}}}, plugins=plugins
    )
    prune.model = net
    prune.eval_func = accuracy(data)
    return prune


def test_pruning_reaches_its_target_and_gives_a_module_of_the_users_type(
    prune, plugins, data, tmp_path
):
    prune.q_func = make_train(prune, data)
    pruned = prune.fit()
    assert type(pruned.model) is Block
    assert pruned.sparsity.sparsity == pytest.approx(0.6, abs=0.002)
    assert pruned.accuracy > 0.7
    for name, mask in pruned.masks.items():
        assert not pruned.model.get_parameter(name)[~torch.from_numpy(mask)].any()


def test_a_pruned_module_is_saved_and_restored(prune, plugins, data, tmp_path):
    prune.train_dataloader = data  # for its shapes
    prune.q_func = make_train(prune, data)
    pruned = prune.fit()
    pruned.save(tmp_path / "out")
    restored = load(tmp_path / "out", plugins=plugins)
    assert np.allclose(restored.predict(data[0][0]), pruned.predict(data[0][0]), atol=1e-5)


@pytest.mark.parametrize("prune_type", ["gradient_sensitivity", "snip_momentum"])
def test_pruning_by_gradients(plugins, net, data, prune_type):
    weight_compression = {"target_sparsity": 0.5, "end_epoch": 2, "prune_type": prune_type}
    prune = Pruning(
        {"pruning": {"approach": {"weight_compression": weight_compression}}}, plugins=plugins
    )
    prune.model = net
    prune.q_func = make_train(prune, data, epochs=3)
    assert [row.zeros for row in prune.fit().sparsity.rows] == [108, 36, 16]


def test_two_of_four_holds_in_the_integer_weights_too(plugins, net, data, tmp_path):
    weight_compression = {"pattern": "2:4", "end_epoch": 1, "names": ["conv1"]}
    prune = Pruning(
        {"pruning": {"approach": {"weight_compression": weight_compression}}}, plugins=plugins
    )
    quantizer = Quantization(conf(tmp_path), plugins=plugins)
    scheduler = Scheduler()
    scheduler.model = net
    scheduler.eval_func = accuracy(data)
    quantizer.calib_dataloader = data
    combined = scheduler.combine(prune, quantizer)
    combined.train_func = make_train(combined, data, epochs=3)
    scheduler.append(combined)
    tuned = scheduler.fit()
    weights = tuned.adaptor.integer_weights(tuned.model)
    found = [w for w in weights.values() if w.ndim == 4 and w.shape[1] == 3]
    assert len(found) == 1
    matrix = np.moveaxis(found[0], 1, -1).reshape(8, -1)
    groups = matrix[:, : 27 // 4 * 4].reshape(8, -1, 4)
    assert (groups != 0).sum(axis=2).max() <= 2
    assert tuned.facts["ops"]["Conv2d"] == {"int8": 2}


def test_a_teacher_joins_pruning_and_quantization(plugins, prune, net, data, tmp_path):
    quantizer = Quantization(conf(tmp_path), plugins=plugins)
    quantizer.calib_dataloader = data
    distill = Distillation(plugins=plugins)
    distill.teacher_model = net
    scheduler = Scheduler()
    scheduler.model = net
    scheduler.eval_func = accuracy(data)
    combined = scheduler.combine(prune, quantizer, distill)
    combined.train_func = make_train(combined, data, epochs=3)
    scheduler.append(combined)
    tuned = scheduler.fit()
    assert tuned.facts["sparsity"]["sparsity"] == pytest.approx(0.6, abs=0.002)


def test_the_examples_of_the_guide_run(net, data, tmp_path, monkeypatch):
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    python = [body for language, body in blocks if language == "python"]
    (pruning_conf,) = (yaml_ for language, yaml_ in blocks if "!Pruner" in yaml_)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prune.yaml").write_text(pruning_conf)
    names = {
        "torch": torch,
        "model": net,
        "loader": [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in data],
        "criterion": torch.nn.CrossEntropyLoss(),
        "evaluate": lambda model: 1.0,
        "Quantization": Quantization,
        "Scheduler": Scheduler,
    }
    for code in python:
        exec(code, names)
    assert names["pruned"].sparsity.of(["conv1.weight"]).sparsity == pytest.approx(0.8, abs=0.01)
    assert (tmp_path / "out").is_dir()
    assert names["q_model"].facts["sparsity"]["sparsity"] > 0.7  # of the last: both in one training


def test_the_configurations_of_the_guide_are_valid():
    from inc_core.config.load import load_config

    text = DOCUMENT.read_text(encoding="utf-8")
    for body in re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        load_config(yaml.safe_load(body.replace("!Pruner ", "")))
