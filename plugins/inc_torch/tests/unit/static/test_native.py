"""Linears and LayerNorms that our own kernels run in the fast forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from inc_core.testing.oracle import snr_db
from inc_torch.kernels.library import KernelStatus
from inc_torch.static import StaticModule, native
from inc_torch.static.packed import pack

# integers differ by a step where torch's LayerNorm and ours round a number the other way: once in 100,000
CLOSE_DB = 45.0


class FeedForward(nn.Module):
    """A transformer's second half: the norm after the sum, as in BERT, or before it, as in GPT."""

    def __init__(self, width: int, is_first: bool, activation: Any) -> None:
        super().__init__()
        self.norm, self.is_first, self.activation = nn.LayerNorm(width), is_first, activation
        self.before = nn.LayerNorm(width, elementwise_affine=False)
        self.up, self.down = nn.Linear(width, 70), nn.Linear(70, width, bias=False)
        self.last = nn.Linear(width, 5)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.is_first:
            return self.last(self.norm(x + self._inner(self.before(x))))
        x = self.before(x)
        return self.last(self.norm(x + self._inner(x)))

    def _inner(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))


def identity(x: Tensor) -> Tensor:
    return x


def no_sums(node: Any) -> bool:
    return "add" not in str(node.target)


@pytest.fixture(params=["own linears", "oneDNN's linears"])
def linears(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(native, "_has_fast_linear", lambda: request.param == "own linears")
    return str(request.param)


@pytest.mark.parametrize("activation", [identity, F.relu, F.gelu, F.silu, F.tanh, F.hardswish])
def test_linears_give_the_same_whichever_kernel_runs_them(
    lab: Any, monkeypatch: pytest.MonkeyPatch, activation: Any
) -> None:
    net, x = FeedForward(48, True, activation), torch.randn(2, 9, 48)
    lowered = lab.lower(net, x, only=no_sums)
    outputs = {}
    for is_own in (True, False):
        monkeypatch.setattr(native, "_has_fast_linear", lambda is_own=is_own: is_own)
        packed = pack(lowered)
        assert ("static_linear" in lab.called(packed)) is is_own
        outputs[is_own] = packed(x)
    assert snr_db(outputs[False].numpy(), outputs[True].numpy()) > CLOSE_DB


def test_a_linear_whose_inputs_are_no_multiple_of_four_runs_on_onednn(
    lab: Any, linears: str
) -> None:
    x = torch.randn(3, 50)
    packed = pack(lab.lower(nn.Linear(50, 8), x))
    assert "static_linear" not in lab.called(packed)
    assert packed(x).shape == (3, 8)


@pytest.mark.parametrize("is_first", [True, False], ids=["pre-norm", "post-norm"])
def test_a_norm_is_rounded_as_it_is_computed(lab: Any, linears: str, is_first: bool) -> None:
    net, x = FeedForward(48, is_first, F.gelu), torch.randn(2, 9, 48)
    lowered = lab.lower(net, x, only=no_sums)
    packed = pack(lowered)
    called = lab.called(packed)
    assert "layer_norm" not in called
    # the sum needs the floats of the norm only where the norm comes first in it
    assert called.count("layer_norm_and_quantize") == (0 if is_first else 1)
    assert called.count("layer_norm_quantize") == (2 if is_first else 1)
    assert snr_db(lowered(x).numpy(), packed(x).numpy()) > CLOSE_DB
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "kernel_status", _no_kernels)
        patch.setattr(native, "_has_fast_linear", lambda: False)
        assert torch.equal(pack(lowered)(x), lowered(x))


def test_a_norm_over_two_dimensions_stays_torchs(lab: Any) -> None:
    net = nn.Sequential(nn.LayerNorm([9, 48]), nn.Linear(48, 8))
    x = torch.randn(2, 9, 48)
    lowered = lab.lower(net, x)
    assert "layer_norm" in lab.called(pack(lowered))
    assert torch.equal(pack(lowered)(x), lowered(x))


def test_compilers_get_the_same_from_torchs_ops(lab: Any, linears: str) -> None:
    net, x = FeedForward(48, False, F.gelu), torch.randn(2, 9, 48)
    module = StaticModule(lab.lower(net, x, only=no_sums))
    torch._dynamo.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert snr_db(module(x).numpy(), compiled(x).numpy()) > CLOSE_DB


def _no_kernels() -> Any:
    return KernelStatus(False, None, "as a test wants it")
