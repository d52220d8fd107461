"""One quantized layer as a file holds it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["StoredLayer"]


@dataclass(frozen=True)
class StoredLayer:
    """A weight ``(N, K)`` as unsigned codes: ``(code - zero_point) * scale`` of its group.

    Attributes:
        codes: Integers in ``[0, 2**bits)``, ``(N, K)``.
        scale: float ``(N, G)``.
        zero_point: Integers in ``[0, 2**bits)``, ``(N, G)``.
        bits: Width of a code.
        group_size: Inputs per group; ``K`` where a channel is one group.
        symmetric: Whether every zero point is ``2**(bits - 1)``.
        bias: float ``(N,)`` or ``None``.
    """

    codes: Tensor
    scale: Tensor
    zero_point: Tensor
    bits: int
    group_size: int
    symmetric: bool
    bias: Tensor | None = None

    @property
    def per_channel(self) -> bool:
        """Whether each output has one scale."""
        return self.scale.shape[1] == 1

    def dequantize(self) -> Tensor:
        """Return the float32 weight ``(N, K)``."""
        group = torch.arange(self.codes.shape[1]) // self.group_size
        if self.per_channel:
            group = torch.zeros_like(group)
        centred = self.codes - self.zero_point[:, group]
        return centred.float() * self.scale.float()[:, group]
