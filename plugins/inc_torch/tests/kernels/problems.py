"""Seeded problems for the kernel tests, and what they must give in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from inc_torch.kernels import Activation, Int4Weight, pack_int4_weight


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def activations(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed)) * 2 + 0.3


def int8_weight(n: int, k: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """An int8 weight, its scales and a bias."""
    rng = generator(seed)
    q = torch.randint(-127, 128, (n, k), generator=rng).to(torch.int8)
    return q, torch.rand(n, generator=rng) * 0.01 + 1e-3, torch.randn(n, generator=rng)


def int4_weight(
    n: int, k: int, group_size: int, symmetric: bool, seed: int = 2
) -> tuple[Int4Weight, Tensor]:
    """A packed 4-bit weight, and what it stands for in float64."""
    rng = generator(seed)
    size = k if group_size == -1 else group_size
    groups = -(-k // size)
    q = torch.randint(0, 16, (n, k), generator=rng)
    scales = (torch.rand(n, groups, generator=rng) * 0.01 + 1e-3).half().float()
    zero_points = None if symmetric else torch.randint(0, 16, (n, groups), generator=rng)
    packed = pack_int4_weight(q, scales, zero_points, group_size)
    group = torch.arange(k) // size
    zero = torch.full((n, groups), 8) if zero_points is None else zero_points
    return packed, (q - zero[:, group]).double() * scales.double()[:, group]


def activated(y: Tensor, activation: Activation) -> Tensor:
    functional = torch.nn.functional
    return {
        Activation.NONE: lambda v: v,
        Activation.RELU: functional.relu,
        Activation.GELU: functional.gelu,
        Activation.GELU_TANH: lambda v: functional.gelu(v, approximate="tanh"),
        Activation.SILU: functional.silu,
    }[activation](y)


def relative_error(y: Tensor, expected: Tensor) -> float:
    """The root of the mean square error, relative to that of what is expected."""
    difference = y.double() - expected.double()
    return float(difference.square().mean().sqrt() / expected.double().square().mean().sqrt())
