"""Weights and tables that a model computes from its state alone are constants of its graph."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_torch.adaptor import TorchAdaptor


@pytest.fixture
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch"))


class Normed(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.conv = norm(nn.Conv2d(3, 8, 3))
        self.bn = nn.BatchNorm2d(8)
        self.fc = norm(nn.Linear(8, 4))

    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).relu().mean((2, 3)))


class Standardized(nn.Module):
    """Its own code makes a weight, and adds a table that it looks up."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.table = nn.Parameter(torch.randn(5))
        self.register_buffer("index", torch.randint(0, 5, (8, 1, 1)))
        self.matrix = nn.Parameter(torch.randn(4, 8))

    def forward(self, x):
        weight = self.conv.weight
        weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / weight.std()
        x = F.conv2d(x, weight, self.conv.bias) + self.table[self.index]
        return x.relu().mean((2, 3)) @ self.matrix.t()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Normed(weight_norm),
        lambda: Normed(spectral_norm),
        lambda: Normed(parametrizations.weight_norm),
        lambda: Normed(parametrizations.orthogonal),
        Standardized,
    ],
)
def test_layers_with_computed_weights_are_quantizable(adaptor, make):
    torch.manual_seed(0)
    module, x = make().eval(), torch.randn(2, 3, 8, 8)
    model = adaptor.trace(adaptor.load(module), x.numpy())
    found = {one.op.type: len(one.configs) for one in adaptor.capabilities(model)}
    assert found["Conv2d"] > 1
    assert found["Linear"] > 1
    assert "BatchNorm" not in found
    assert not any(
        node.op == "call_function" and all(one.op == "get_attr" for one in node.all_input_nodes)
        for node in model.graph.graph.nodes
    )
    with torch.no_grad():
        torch.testing.assert_close(model(x), module(x))


class Random(nn.Module):
    def forward(self, x):
        return x + torch.rand(3)


class Wide(nn.Module):
    """A mask far larger than what it is made of."""

    def forward(self, x):
        return x + torch.arange(1500.0)[:, None] * torch.arange(1500.0)


@pytest.mark.parametrize(("module", "x"), [(Random(), (2, 3)), (Wide(), (2, 1500, 1500))])
def test_random_and_far_larger_values_are_computed_in_each_call(adaptor, module, x):
    model = adaptor.trace(adaptor.load(module), torch.zeros(x).numpy())
    assert sum(one.numel() for one in model.state_dict().values()) <= 3000
