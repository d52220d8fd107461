"""Inductor as an opt-in: the same outputs, and a module like any other."""

from __future__ import annotations

import copy
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inc_torch.static import StaticModule
from inc_torch.static.inductor import compiled

needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="inductor needs a C++ compiler"
)


class Mixed(nn.Module):
    """Integer ops, a residual addition among them, with float ones around them, which inductor fuses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.last = nn.Conv2d(8, 8, 1)
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = y + self.again(y)
        y = torch.sin(y) + self.last(y)
        return self.out(torch.nn.functional.softsign(self.norm(y.mean((2, 3)))))


@pytest.fixture
def module(lab: Any) -> StaticModule:
    return StaticModule(lab.lower(Mixed(), torch.randn(2, 3, 9, 9)))


@needs_compiler
@pytest.mark.parametrize("freezing", [False, True], ids=["plain", "inductor freezes"])
def test_compiled_outputs_are_those_of_the_model(module: StaticModule, freezing: bool) -> None:
    assert "conv_add" in str(
        module.lowered.graph
    )  # it writes over an argument, which breaks freezing
    torch._dynamo.reset()
    x = torch.randn(2, 3, 9, 9)
    with torch._inductor.config.patch(freezing=freezing), torch.no_grad():
        torch.testing.assert_close(compiled(module)(x), module(x), rtol=1e-3, atol=1e-3)


def test_state_and_copies_are_those_of_the_model(module: StaticModule) -> None:
    wrapped = compiled(module)
    other = copy.deepcopy(wrapped)
    assert list(wrapped.state_dict()) == [f"model.{name}" for name in module.state_dict()]
    x = torch.randn(2, 3, 9, 9)
    assert torch.equal(other.model(x), module(x))
    program = torch.export.export(wrapped, (x,))
    assert torch.equal(program.module()(x), module(x))
