from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from inc_core.errors import TrainingError
from inc_torch.training.weights import get_gradient, get_weight, masker, set_weight, weights

from .nets import make_block


def test_weights_of_convs_and_linear_layers_are_named_in_order():
    assert weights(make_block()) == {
        "conv1.weight": (8, 3, 3, 3),
        "conv2.weight": (8, 1, 3, 3),
        "fc.weight": (4, 8),
    }


def test_a_lone_layer_has_a_weight_too():
    assert weights(nn.Linear(3, 2)) == {"weight": (2, 3)}


def test_reading_copies_and_writing_reaches_the_model():
    model = make_block()
    weight = get_weight(model, "fc.weight")
    weight[...] = 3
    assert not (model.fc.weight == 3).any()
    set_weight(model, "fc.weight", weight)
    assert (model.fc.weight == 3).all()


def test_a_weight_of_another_shape_is_refused():
    with pytest.raises(TrainingError, match=r"has the shape \(4, 8\), received \(2, 2\)"):
        set_weight(make_block(), "fc.weight", np.zeros((2, 2), np.float32))


def test_gradients_are_there_after_a_backward_pass():
    model = make_block()
    assert get_gradient(model, "fc.weight") is None
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    assert np.array_equal(get_gradient(model, "fc.weight"), model.fc.weight.grad.numpy())


def test_masks_hold_against_an_optimizer_with_momentum():
    model = make_block()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    masks = {name: np.random.default_rng(0).random(s) < 0.5 for name, s in weights(model).items()}
    apply = masker(model, masks)
    for _ in range(3):
        model(torch.randn(4, 3, 8, 8)).pow(2).sum().backward()
        optimizer.step()
        apply()
    for name, mask in masks.items():
        weight = get_weight(model, name)
        assert not weight[~mask].any()
        assert weight[mask].all()
