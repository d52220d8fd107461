"""Shapes of torch's packing ops for tracing, which torch 2.13 does not tell.

Only where they are missing: the ops are torch's, and a later release may bring their shapes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__: list[str] = []


def _register() -> None:
    def qconv_prepack(
        weight: Tensor,
        w_scales: Tensor,
        x_scale: float,
        x_zp: int,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        groups: int,
        x_shape: list[int] | None = None,
    ) -> Tensor:
        return _opaque(weight, weight.shape)

    def qlinear_prepack(weight: Tensor, x_shape: list[int] | None) -> Tensor:
        return _opaque(weight, weight.shape[::-1])

    for function in (qconv_prepack, qlinear_prepack):
        name = f"onednn::{function.__name__}"
        if not torch._C._dispatch_has_kernel_for_dispatch_key(name, "Meta"):
            torch.library.register_fake(name)(function)


def _opaque(weight: Tensor, shape: torch.Size) -> Tensor:
    """Return what stands for a packed tensor: compilers compare these strides with the real ones."""
    return weight.new_empty_strided(shape, [1, *[0] * (len(shape) - 1)])


_register()
