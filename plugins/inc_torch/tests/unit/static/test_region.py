"""Chains of convolutions in one call: the same bits, and what is around them unharmed."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from inc_torch.static.packed import pack
from inc_torch.static.region import Region, find_regions, with_regions


class Chain(nn.Module):
    """Two chains around an op that stays float, and a residual that is read again later."""

    def __init__(self, middle: Any) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1) for i in range(6))
        self.middle = middle

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = F.relu(self.convs[0](x))
        b = F.relu(self.convs[1](a) + a)
        c = self.middle(b)
        d = F.relu(self.convs[2](c))
        e = self.convs[3](d) + c
        return self.convs[4](e), self.convs[5](F.max_pool2d(e, 2))


def image() -> Tensor:
    return torch.randn(2, 3, 12, 14)


def test_a_float_op_between_chains_makes_two_regions(lab: Any) -> None:
    lowered = lab.lower(Chain(torch.sin), image())
    assert [len(region) for region in find_regions(lowered.graph)] == [3, 4]


def test_both_chains_give_the_bits_of_the_reference(lab: Any) -> None:
    for middle in (torch.sin, F.relu, lambda x: F.max_pool2d(x, 3, 1, 1)):
        x = image()
        lowered = lab.lower(Chain(middle), x)
        eager = pack(with_regions(lowered))
        assert any(isinstance(one, Region) for one in eager.modules())
        for batch in (x, torch.randn(5, 3, 12, 14), torch.randn(1, 3, 20, 8), x):
            for one, other in zip(eager(batch), lowered(batch), strict=True):
                assert torch.equal(one, other)


def test_results_of_earlier_calls_are_not_written_over(lab: Any) -> None:
    class Exposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = F.relu(self.a(x))
            return (self.b(y) + y), y.permute(0, 2, 3, 1)

    x = image()
    eager = pack(with_regions(lab.lower(Exposed(), x)))
    first = [one.clone() for one in eager(x)]
    kept = eager(x)
    eager(image())
    assert all(torch.equal(one, other) for one, other in zip(kept, first, strict=True))


def test_torch_s_engine_is_as_before_and_nobody_is_warned(lab: Any) -> None:
    lowered = lab.lower(Chain(F.relu), image())
    before = torch.backends.quantized.engine
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pack(with_regions(lowered))(image())
    assert torch.backends.quantized.engine == before


def test_a_single_convolution_is_no_region(lab: Any) -> None:
    lowered = lab.lower(nn.Conv2d(3, 4, 3), image())
    assert not any(isinstance(one, Region) for one in with_regions(lowered).modules())
