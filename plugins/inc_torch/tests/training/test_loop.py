from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from inc_core.config.types import ComponentConfig, TrainConfig
from inc_core.errors import ConfigError, DataError
from inc_torch.training.loop import train
from inc_torch.training.losses import make_loss, soft_loss
from inc_torch.training.optimizers import make_optimizer

from .nets import batches, make_block


class Told:
    """Notes what a loop tells it."""

    def __init__(self):
        self.told = []

    def on_after_compute_loss(self, inputs, output, loss, teacher_output=None):
        self.told.append("loss")
        return loss

    def __getattr__(self, name):
        return lambda *args: self.told.append((name.removeprefix("on_"), *args))


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (ComponentConfig("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}), "SGD"),
        (ComponentConfig("Adam", {"beta_1": 0.8, "epsilon": 1e-7}), "Adam"),
        (ComponentConfig("AdamW", {"weight_decay": 0.01, "amsgrad": True}), "AdamW"),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_optimizers_are_made_from_the_names_of_old_files(config, kind):
    optimizer = make_optimizer(config, make_block().parameters())
    group = optimizer.param_groups[0]
    assert type(optimizer).__name__ == kind
    stated = config.parameters
    assert group["lr"] == stated.get("learning_rate", 0.001)
    if kind == "Adam":
        assert group["betas"] == (0.8, 0.999)
        assert group["eps"] == 1e-7


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ComponentConfig("Adamm"), "Did you mean 'Adam'"),
        (ComponentConfig("SGD", {"lr": 0.1}), "unknown parameter 'lr'.*Known: learning_rate"),
        (ComponentConfig("SGD", {"learning_rate": -1.0}), "Invalid learning rate"),
    ],
    ids=["name", "parameter", "value"],
)
def test_a_wrong_optimizer_is_an_error_that_says_what_is_known(config, message):
    with pytest.raises(ConfigError, match=message):
        make_optimizer(config, make_block().parameters())


def test_a_model_without_trainable_parameters_is_an_error():
    model = make_block().requires_grad_(False)
    with pytest.raises(ConfigError, match="nothing to train"):
        make_optimizer(ComponentConfig("SGD"), model.parameters())


def test_cross_entropy_is_that_of_torch():
    logits, labels = torch.randn(8, 4), torch.arange(8) % 4
    for name in ("CrossEntropyLoss", "SparseCategoricalCrossentropy"):
        assert make_loss(ComponentConfig(name))(logits, labels.numpy()) == pytest.approx(
            functional.cross_entropy(logits, labels).item()
        )
    total = make_loss(ComponentConfig("CrossEntropyLoss", {"reduction": "sum"}))(logits, labels)
    assert total == pytest.approx(functional.cross_entropy(logits, labels, reduction="sum").item())
    probable = make_loss(ComponentConfig("CrossEntropyLoss", {"from_logits": False}))
    assert probable(logits.softmax(1), labels) == pytest.approx(
        functional.cross_entropy(logits, labels).item(), rel=1e-4
    )


def test_logits_are_found_in_tuples_and_mappings():
    logits, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    loss = make_loss(ComponentConfig("CrossEntropyLoss"))
    expected = loss(logits, labels)
    assert loss((logits, "state"), labels) == expected
    assert loss({"hidden": logits * 2, "logits": logits}, labels) == expected


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_distance_from_a_teacher_is_the_divergence_at_a_temperature(temperature):
    ours, theirs = torch.randn(6, 5), torch.randn(6, 5)
    expected = (
        functional.kl_div(
            functional.log_softmax(ours / temperature, 1),
            functional.softmax(theirs / temperature, 1),
            reduction="batchmean",
        )
        * temperature**2
    )
    assert soft_loss("KL", ours, theirs, temperature) == pytest.approx(expected.item(), rel=1e-4)
    assert soft_loss("KL", theirs, theirs, temperature).abs() < 1e-5
    assert soft_loss("MSE", ours, theirs, 1.0) == functional.mse_loss(ours, theirs)


def test_an_unknown_criterion_names_the_closest():
    with pytest.raises(ConfigError, match="Did you mean 'CrossEntropyLoss'"):
        make_loss(ComponentConfig("CrossEntropy"))


def test_hooks_are_told_in_their_order():
    hooks = Told()
    train(make_block(), TrainConfig(epoch=1, start_epoch=2, iteration=2), batches(3), hooks)
    step = ["loss", ("before_optimizer_step",), ("step_end",)]
    expected = [("epoch_begin", 2), ("step_begin", 0), *step, ("step_begin", 1), *step]
    assert hooks.told == [*expected, ("epoch_end",)]


def test_the_loop_trains_on_arrays_of_numpy():
    model, data = make_block(), [(x.numpy().astype(float), y.numpy()) for x, y in batches()]
    loss = make_loss(ComponentConfig("CrossEntropyLoss"))

    def total():
        with torch.no_grad():
            return sum(float(loss(model.eval()(x), y)) for x, y in batches())

    before = total()
    sgd = ComponentConfig("SGD", {"learning_rate": 0.05})
    train(model, TrainConfig(optimizer=sgd, epoch=10), data, Told())
    assert total() < 0.9 * before


def test_several_inputs_go_by_order_or_by_name():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, a, b):
            return self.fc(a - b)

    a, b = np.ones((4, 3), np.float32), np.zeros((4, 3), np.float32)
    labels = np.array([0, 1, 0, 1])
    for inputs in ((a, b), {"b": b, "a": a}):
        train(Sum(), TrainConfig(), [(inputs, labels)], Told())


def test_data_without_labels_is_an_error():
    with pytest.raises(DataError, match="training needs labels"):
        train(make_block(), TrainConfig(), [np.zeros((2, 3, 8, 8), np.float32)], Told())
