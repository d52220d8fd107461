"""Shapes of torch's packing ops and of its 1-D convolution for tracing, which torch 2.13 does not tell.

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

    def qconv1d_pointwise(
        qx: Tensor,
        x_scale: float,
        x_zero_point: int,
        qw: Tensor,
        w_scale: Tensor,
        w_zero_point: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        groups: int,
        output_scale: float,
        output_zero_point: int,
        output_dtype: torch.dtype | None,
        attr: str,
        scalars: list[float | None],
        algorithm: str | None,
    ) -> Tensor:
        reach = dilation[-1] * (qw.shape[-1] - 1) + 1
        length = (qx.shape[-1] + 2 * padding[-1] - reach) // stride[-1] + 1
        shape = (qx.shape[0], w_scale.shape[0], length)
        return qx.new_empty(shape, dtype=output_dtype or qx.dtype)

    for function in (qconv_prepack, qlinear_prepack, qconv1d_pointwise):
        name = f"onednn::{function.__name__}"
        if not torch._C._dispatch_has_kernel_for_dispatch_key(name, "Meta"):
            torch.library.register_fake(name)(function)


def _opaque(weight: Tensor, shape: torch.Size) -> Tensor:
    """Return what stands for a packed tensor: compilers compare these strides with the real ones."""
    return weight.new_empty_strided(shape, [1, *[0] * (len(shape) - 1)])


_register()
