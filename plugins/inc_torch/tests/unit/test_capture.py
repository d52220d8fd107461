"""Tracing: open batches, names of ops, inputs by keyword, and what is done without a trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import Encoder, Moody, ResidualNet, seeded
from torch import nn

from inc_core.errors import DataError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_torch.adaptor import TorchAdaptor


@pytest.fixture
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch"))


class InPlace(nn.Module):
    """Writes to tensors that others read before and after."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        y = self.fc(x)
        before = y * 2
        y.relu_()
        y += 1
        part = y[:, :2]
        part.mul_(3)  # through a view
        return before + y


class Gpt2Style(nn.Module):
    """A layer as ``transformers`` writes it for GPT-2: a product with a transposed weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.bias = nn.Parameter(torch.randn(4))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


def test_ops_are_named_after_layers_and_types_as_users_say_them(adaptor, images):
    model = adaptor.trace(adaptor.load(seeded(ResidualNet)), images[0])
    keys = [tuple(one.op) for one in adaptor.capabilities(model)]
    assert ("stem.0", "Conv2d") in keys
    assert ("block1.add", "Add") in keys
    assert keys[-1] == ("fc", "Linear")


def test_any_batch_size_runs_after_tracing_a_batch_of_one(adaptor, images):
    image = images[0]["image"]
    model = adaptor.trace(adaptor.load(seeded(ResidualNet)), image[:1])
    whole = adaptor.predict(model, image)
    np.testing.assert_allclose(adaptor.predict(model, image[:3]), whole[:3], rtol=1e-4, atol=1e-5)


def test_ids_with_a_mask_give_mappings_and_any_length(adaptor, sentences):
    module = seeded(Encoder)
    model = adaptor.trace(adaptor.load(module), sentences[0])
    assert model.facts.traced
    longer = {name: np.concatenate([a, a], 1) for name, a in sentences[0].items()}
    tensors = {name: torch.from_numpy(a) for name, a in longer.items()}
    expected, found = module(**tensors), model(**tensors)
    assert set(found) == {"logits", "states"}
    assert isinstance(found["states"], tuple)
    torch.testing.assert_close(found["logits"], expected["logits"], rtol=1e-4, atol=1e-5)
    logits, states = adaptor.predict(model, longer)
    assert logits.shape == (4, 3) and states.shape == (4, 20, 32)


def test_writing_in_place_is_understood(adaptor):
    torch.manual_seed(0)
    module = InPlace().eval()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model = adaptor.trace(adaptor.load(module), x)
    assert model.facts.traced
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(adaptor.predict(model, x), expected, rtol=1e-5, atol=1e-6)


def test_a_product_with_a_constant_is_a_linear_layer(adaptor):
    torch.manual_seed(0)
    model = adaptor.trace(adaptor.load(Gpt2Style()), np.ones((2, 6), np.float32))
    (capability,) = adaptor.capabilities(model)
    assert capability.op.type == "Linear"
    assert capability.configs[0].is_quantized


def test_a_module_without_a_graph_is_quantized_layer_by_layer(adaptor, images):
    model = adaptor.trace(adaptor.load(seeded(Moody)), images[0])
    assert not model.facts.traced
    assert model.facts.obstacle
    names = [one.op.name for one in adaptor.capabilities(model)]
    assert names == ["conv", "calm", "wild", "head"]


def test_without_an_example_layers_are_known_too(adaptor):
    model = adaptor.load(seeded(ResidualNet))
    assert "block1.conv2" in [one.op.name for one in adaptor.capabilities(model)]


def test_integers_are_wanted_where_the_model_takes_ids(adaptor, sentences):
    model = adaptor.trace(adaptor.load(seeded(Encoder)), sentences[0])
    wrong = {**sentences[0], "input_ids": sentences[0]["input_ids"].astype(np.float32)}
    with pytest.raises(DataError, match="'input_ids' must be integers"):
        adaptor.predict(model, wrong)


def test_a_wrong_name_names_the_closest(adaptor, sentences):
    with pytest.raises(DataError, match="input_ids"):
        adaptor.trace(adaptor.load(seeded(Encoder)), {"input_idz": sentences[0]["input_ids"]})
