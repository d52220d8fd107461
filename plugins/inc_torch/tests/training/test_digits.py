"""Real training on the digits that come with the project: minutes at most, no assets needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import inc_torch.plugin
from inc_core import Pruning, Quantization, Scheduler
from inc_core.plugin import Plugins

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parents[4] / "examples" / "digits" / "digits.npz"
BATCH = 64
# Channels of one conv are this much larger than others, and the next one divides by it: the function is
# the same, but one scale for all of them leaves the small ones no integers.
SPREAD = 128.0


@pytest.fixture(scope="module")
def digits():
    with np.load(DIGITS) as data:
        found = {}
        for part in ("train", "test"):
            x = data[f"x_{part}"].astype(np.float32).reshape(-1, 1, 8, 8) / 16
            found[part] = (x, data[f"y_{part}"].astype(np.int64))
    return found


def make_net():
    def layer(channels, groups=1, size=3):
        return (
            nn.LazyConv2d(channels, size, padding=size // 2, groups=groups, bias=False),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
        )

    torch.manual_seed(0)
    net = nn.Sequential(
        *layer(32), *layer(32, groups=32), *layer(64, size=1), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.LazyLinear(10),
    )  # fmt: skip
    net(torch.zeros(2, 1, 8, 8))
    return net


def epochs_of(model, digits, epochs, rate, hooks=None):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    x, y = map(torch.from_numpy, digits["train"])
    generator = torch.Generator().manual_seed(0)
    total = epochs * (len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for epoch in range(epochs):
        model.train()
        if hooks:
            hooks.on_epoch_begin(epoch)
        order = torch.randperm(len(y), generator=generator)
        for step, chosen in enumerate(order[: len(y) // BATCH * BATCH].split(BATCH)):
            if hooks:
                hooks.on_step_begin(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
            if hooks:
                hooks.on_before_optimizer_step()
            optimizer.step()
            schedule.step()
            if hooks:
                hooks.on_step_end()
        if hooks:
            hooks.on_epoch_end()


@pytest.fixture(scope="module")
def net(digits):
    model = make_net()
    epochs_of(model, digits, 20, 0.01)
    return model.eval()


@pytest.fixture(scope="module")
def hot_net(net):
    """Return a net of the same function, with channels of very different sizes."""
    import copy

    model = copy.deepcopy(net)
    factor = torch.ones(32)
    factor[::2] = SPREAD
    with torch.no_grad():
        model[1].weight.mul_(factor)
        model[1].bias.mul_(factor)
        model[3].weight.div_(factor.reshape(-1, 1, 1, 1))
    return model


def evaluator(digits):
    x, y = map(torch.from_numpy, digits["test"])

    def eval_func(model):
        with torch.no_grad():
            return float((model(x).argmax(1) == y).float().mean())

    return eval_func


def make_quantizer(approach, model, digits, tmp_path):
    quantizer = Quantization(
        {
            "quantization": {
                "approach": approach,
                "recipes": {"cross_layer_equalization": False, "bias_correction": False}
                if approach == "post_training_static_quant"
                else {},
            },
            "tuning": {
                "exit_policy": {"max_trials": 1, "on_goal_not_met": "best_seen"},
                "accuracy_criterion": {"relative": 0.01},
                "strategy": "basic",
                "speed_gate": False,
                "workspace": {"path": str(tmp_path / approach)},
            },
        },
        plugins=Plugins.of(inc_torch.plugin),
    )
    quantizer.model = model
    x, y = digits["train"]
    quantizer.calib_dataloader = [(x[i : i + 50], y[i : i + 50]) for i in range(0, 200, 50)]
    quantizer.eval_func = evaluator(digits)
    return quantizer


def test_training_brings_a_model_that_int8_breaks_back_within_one_percent(
    hot_net, digits, tmp_path
):
    broken = make_quantizer("post_training_static_quant", hot_net, digits, tmp_path).fit()
    assert not broken.goal_met
    quantizer = make_quantizer("quant_aware_training", hot_net, digits, tmp_path)
    quantizer.q_func = lambda model: epochs_of(model, digits, 20, 0.01)
    tuned = quantizer.fit()
    assert tuned.goal_met, tuned.report()
    assert all(set(row) == {"int8"} for kind, row in tuned.facts["ops"].items() if kind != "Add")


def test_eighty_percent_of_the_weights_can_go(net, digits):
    compression = {
        "target_sparsity": 0.8,
        "end_epoch": 8,
        "prune_domain": "global",
        "sparsity_decay_type": "cubic",
    }
    prune = Pruning(
        {"pruning": {"approach": {"weight_compression": compression}}},
        plugins=Plugins.of(inc_torch.plugin),
    )
    prune.model = net
    prune.eval_func = evaluator(digits)
    prune.q_func = lambda model: epochs_of(model, digits, 15, 0.005, prune)
    pruned = prune.fit()
    assert pruned.sparsity.sparsity == pytest.approx(0.8, abs=1e-3)
    assert pruned.accuracy > pruned.baseline - 0.03, pruned.report()


def test_half_of_the_weights_can_go_while_integers_are_simulated(net, digits, tmp_path):
    compression = {"target_sparsity": 0.5, "end_epoch": 4, "prune_domain": "global"}
    prune = Pruning(
        {"pruning": {"approach": {"weight_compression": compression}}},
        plugins=Plugins.of(inc_torch.plugin),
    )
    quantizer = make_quantizer("quant_aware_training", net, digits, tmp_path)
    scheduler = Scheduler()
    scheduler.model = net
    combined = scheduler.combine(prune, quantizer)
    combined.train_func = lambda model: epochs_of(model, digits, 10, 0.003, combined)
    scheduler.append(combined)
    tuned = scheduler.fit()
    assert tuned.facts["sparsity"]["sparsity"] == pytest.approx(0.5, abs=1e-3)
    weights = tuned.adaptor.integer_weights(tuned.model).values()
    assert sum((w == 0).sum() for w in weights) / sum(w.size for w in weights) >= 0.49
    assert tuned.facts["accuracy"]["final"] > 0.93
