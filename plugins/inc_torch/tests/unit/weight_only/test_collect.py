"""Statistics of inputs, streamed through a graph or seen by hooks, against plain forward passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inc_torch.weight_only import collect, streaming
from inc_torch.weight_only.collect import collect_statistics
from inc_torch.weight_only.streaming import stream_statistics

aten = torch.ops.aten


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x, mask):
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        x = x + torch.softmax(scores, -1) @ x
        return x + self.down(torch.relu(self.up(x * mask)))


class Decoder(nn.Module):
    def __init__(self, blocks=3):
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.blocks = nn.ModuleList(Block(8) for _ in range(blocks))
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        mask = (x.abs().sum(-1, keepdim=True) > 1).float()
        first = x = self.embed(x)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x + first)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Decoder().eval()


def make_batches(count=3):
    random = torch.Generator().manual_seed(1)
    return [torch.randn(2 + index, 6, 5, generator=random) for index in range(count)]


def linears(model):
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}


def seen_by_hooks(model, batches):
    """Every layer's inputs in plain forward passes, ``(rows, K)``."""
    inputs = {name: [] for name in linears(model)}
    hooks = [
        layer.register_forward_pre_hook(
            lambda module, args, name=name: inputs[name].append(args[0].flatten(0, -2))
        )
        for name, layer in linears(model).items()
    ]
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(seen).detach() for name, seen in inputs.items()}


def traced(model):
    """The model's graph, and its linear nodes by the name of their module."""
    shapes = {"x": {0: torch.export.Dim.AUTO}}
    program = torch.export.export(model, (make_batches()[0],), dynamic_shapes=shapes)
    graph = program.module(check_guards=False)
    graph.graph.set_codegen(torch.fx.graph.CodeGen())
    names = {node: list(node.meta["nn_module_stack"].values())[-1][0] for node in graph.graph.nodes
             if node.target is aten.linear.default}  # fmt: skip
    return graph, names


def stream(model, batches):
    graph, names = traced(model)
    found = {}
    stream_statistics(
        graph,
        list(names),
        [[batch] for batch in batches],
        lambda node, statistics: found.__setitem__(names[node], statistics),
    )
    return found


def hooked(model, batches):
    found = {}
    collect_statistics(linears(model), batches, model, found.__setitem__)
    return found


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, inputs in wanted.items():
        assert found[name].rows == len(inputs)
        torch.testing.assert_close(found[name].gram, inputs.T @ inputs)
        torch.testing.assert_close(found[name].mean_abs, inputs.abs().mean(0))


@pytest.mark.parametrize("way", [stream, hooked])
def test_statistics_are_those_of_plain_forward_passes(way, model):
    batches = make_batches()
    assert_same(way(model, batches), seen_by_hooks(model, batches))


def test_what_crosses_segments_may_lie_on_disk(model, monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "KEPT_IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    batches = make_batches()
    assert_same(stream(model, batches), seen_by_hooks(model, batches))
    assert not list(tmp_path.iterdir())


def test_each_operator_runs_once_per_batch(model):
    graph, names = traced(model)
    calls = []
    for node in graph.graph.nodes:
        if node.target is aten.softmax.int:
            node.target = lambda *args, **kwargs: (
                calls.append(1) or aten.softmax.int(*args, **kwargs)
            )
    batches = [[batch] for batch in make_batches()]
    stream_statistics(graph, list(names), batches, lambda *_: None)
    assert len(calls) == 3 * len(batches)


def test_layers_with_one_input_share_its_statistics(model):
    found = stream(model, make_batches())
    assert found["blocks.1.query"] is found["blocks.1.key"]


def test_more_passes_where_moments_do_not_fit(model, monkeypatch):
    monkeypatch.setattr(collect, "MOMENTS_IN_MEMORY", 4 * 8**2)
    batches, passes, found = make_batches(), [], {}
    collect_statistics(
        linears(model), batches, lambda x: passes.append(1) or model(x), found.__setitem__
    )
    assert len(passes) > 2 * len(batches)
    assert_same(found, seen_by_hooks(model, batches))


def test_hooks_are_gone_afterwards(model):
    hooked(model, make_batches())
    assert not any(module._forward_pre_hooks for module in model.modules())
