"""``StaticModule`` is an ordinary module: it copies, saves, loads, exports and compiles."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from inc_torch.static import StaticModule


class Residual(nn.Module):
    """Convolutions with a residual, pooling, and a classifier: every function of lowered graphs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.a = nn.Conv2d(16, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 1)
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 16)
        self.norm = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)
        x = F.relu(self.b(F.relu(self.a(x))) + x)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return {"features": x, "scores": self.norm(self.down(F.gelu(self.up(x))) + x)}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 33, 33)


@pytest.fixture
def lowered(lab: Any, x: Tensor) -> fx.GraphModule:
    linear_sum = lambda node: node.name == "add_1"  # noqa: E731
    return lab.lower(Residual(), x, dynamic=True, only=lambda node: not linear_sum(node))


@pytest.fixture
def module(lowered: fx.GraphModule) -> StaticModule:
    return StaticModule(lowered)


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_the_fast_form_gives_the_bits_of_the_reference(
    module: StaticModule, lowered: fx.GraphModule, x: Tensor
) -> None:
    assert_equal(module(x), lowered(x))
    larger = torch.randn(5, 3, 33, 33)
    assert_equal(module(larger), lowered(larger))
    assert_equal(module(x), lowered(x))


def test_an_input_is_never_written_to(module: StaticModule, x: Tensor) -> None:
    before = x.clone()
    first = module(x)
    assert_equal(module(x), first)
    assert torch.equal(x, before)


def test_a_deep_copy_runs_alike_and_shares_nothing(module: StaticModule, x: Tensor) -> None:
    other = copy.deepcopy(module)
    assert_equal(other(x), module(x))
    mine, its = module.state_dict(), other.state_dict()
    assert all(mine[name].data_ptr() != its[name].data_ptr() for name in mine)


def test_state_holds_plain_tensors_and_loads(module: StaticModule, x: Tensor) -> None:
    other = copy.deepcopy(module)
    for tensor in other.state_dict().values():
        tensor.zero_()
    other.repack()
    assert not torch.equal(other(x)["scores"], module(x)["scores"])
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert_equal(other(x), module(x))


def test_an_exported_program_has_torch_ops_only(module: StaticModule, x: Tensor) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    namespaces = {
        str(node.target).split(".")[0] for node in program.graph.nodes if node.op == "call_function"
    }
    assert namespaces <= {"aten", "onednn", "quantized_decomposed", "<built-in function mul>"}
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    loaded = torch.export.load(buffer).module()
    for one in (x, torch.randn(7, 3, 33, 33)):
        assert_equal(loaded(one), module(one))


def test_compiles_without_graph_breaks(module: StaticModule, x: Tensor) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    assert_equal(compiled(x), module(x))


def test_compiled_by_inductor_it_gives_the_same(module: StaticModule, x: Tensor) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True)(x)
    eager = module(x)
    for name in eager:
        torch.testing.assert_close(compiled[name], eager[name], rtol=1e-3, atol=1e-3)
