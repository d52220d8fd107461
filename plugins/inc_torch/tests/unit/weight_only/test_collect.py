from __future__ import annotations

import pytest
import torch
from torch import nn

from inc_torch.weight_only import collect
from inc_torch.weight_only.blocks import find_blocks
from inc_torch.weight_only.collect import collect_statistics


class Block(nn.Module):
    def __init__(self, width, *, gives_tuple=False):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.gives_tuple = gives_tuple

    def forward(self, x, mask, *, scale=1.0):
        y = x + self.down(torch.relu(self.up(x * mask))) * scale
        return (y, "weights") if self.gives_tuple else y


class Decoder(nn.Module):
    def __init__(self, blocks=3, *, gives_tuple=False, skip=False):
        super().__init__()
        self.embed = nn.Linear(5, 8)
        self.blocks = nn.ModuleList(Block(8, gives_tuple=gives_tuple) for _ in range(blocks))
        self.head = nn.Linear(8, 4)
        self.skip = skip

    def forward(self, x, scale=0.5):
        first = x = self.embed(x)
        for block in self.blocks:
            if self.skip:
                x = x + first
            found = block(x, torch.ones(8), scale=scale)
            x = found[0] if isinstance(found, tuple) else found
        return self.head(x)


def linears(model):
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}


def make_batches(count=3):
    random = torch.Generator().manual_seed(1)
    return [torch.randn(2 + index, 6, 5, generator=random) for index in range(count)]


def expected(model, batches):
    """What hooks on every layer see in plain forward passes."""
    inputs = {name: [] for name in linears(model)}
    hooks = [
        layer.register_forward_pre_hook(
            lambda module, args, name=name: inputs[name].append(
                args[0].reshape(-1, args[0].shape[-1])
            )
        )
        for name, layer in linears(model).items()
    ]
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(seen).detach() for name, seen in inputs.items()}


@pytest.mark.parametrize(
    "options",
    [{}, {"gives_tuple": True}, {"skip": True}, {"blocks": 1}],
    ids=["chain", "blocks that give a tuple", "no chain", "one block"],
)
def test_statistics_are_those_of_a_plain_forward_pass(options):
    torch.manual_seed(0)
    model, batches, found = Decoder(**options).eval(), make_batches(), {}
    wanted = expected(model, batches)
    collect_statistics(model, linears(model), batches, lambda model, x: model(x), found.__setitem__)
    assert found.keys() == wanted.keys()
    for name, inputs in wanted.items():
        assert found[name].rows == len(inputs)
        torch.testing.assert_close(found[name].gram, inputs.T @ inputs)
        torch.testing.assert_close(found[name].mean_abs, inputs.abs().mean(0))


def test_each_block_runs_once_per_batch(monkeypatch):
    model, batches, calls = Decoder().eval(), make_batches(), []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, args: calls.append(module))
    collect_statistics(model, linears(model), batches, lambda model, x: model(x), lambda *_: None)
    # one pass over the first batch looks for the chain; the first block is reached once more to be stopped
    counts = [calls.count(block) for block in model.blocks]
    assert counts[1:] == [1 + 2 * len(batches)] * 2


def test_what_flows_may_live_on_disk(monkeypatch):
    torch.manual_seed(0)
    model, batches, found = Decoder().eval(), make_batches(), {}
    wanted = expected(model, batches)
    monkeypatch.setattr(collect, "_FLOW_IN_MEMORY", 0)
    collect_statistics(model, linears(model), batches, lambda model, x: model(x), found.__setitem__)
    for name, inputs in wanted.items():
        torch.testing.assert_close(found[name].gram, inputs.T @ inputs)


def test_more_passes_where_moments_do_not_fit(monkeypatch):
    model, batches, passes = Decoder(skip=True).eval(), make_batches(), []
    monkeypatch.setattr(collect, "_MOMENTS_IN_MEMORY", 4 * 8**2)
    found = {}
    collect_statistics(
        model,
        linears(model),
        batches,
        lambda model, x: passes.append(1) or model(x),
        found.__setitem__,
    )
    assert len(passes) > 2 * len(batches)
    assert found.keys() == linears(model).keys()


def test_the_model_is_left_as_it_was():
    model, batches = Decoder().eval(), make_batches()
    before, outputs = dict(model.blocks[0].__dict__), model(batches[0])
    collect_statistics(model, linears(model), batches, lambda model, x: model(x), lambda *_: None)
    assert model.blocks[0].__dict__.keys() == before.keys()
    assert torch.equal(model(batches[0]), outputs)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_chain_with_the_most_weight_is_found():
    model = nn.Sequential(nn.Sequential(nn.Linear(5, 6), nn.ReLU()), Decoder(2))
    model[0] = nn.Sequential(nn.Linear(5, 5), nn.ReLU())
    blocks = find_blocks(model, lambda: model(torch.randn(2, 5)))
    assert [block.name for block in blocks] == ["0", "1"]
