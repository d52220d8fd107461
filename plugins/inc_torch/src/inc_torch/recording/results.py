"""What results of common operators look like, without asking torch.

Its answer is worked out in Python for many operators: that takes 1 ms each, and before the first of them
torch imports its compiler, in 1 s. Others are asked of torch, on the device ``meta``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["result_of"]

aten = torch.ops.aten
Shape = Sequence[int]


def result_of(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what an operator gives for tensors without data.

    Args:
        target: An overload of ``torch.ops`` that changes nothing in place.
        args: In the order of its schema.
        kwargs: By name.

    Raises:
        RuntimeError: If the shapes do not fit.
    """
    shape_of = _SHAPES.get(target)
    if shape_of is None:
        return target(*args, **kwargs)
    dtype = torch.result_type(*args[:2]) if target in _ADDITIONS else args[0].dtype
    if not dtype.is_floating_point:
        return target(*args, **kwargs)  # of integers some give floats
    return torch.empty(shape_of(*args), dtype=dtype, device="meta")


def _same(x: Tensor, *_: Any) -> Shape:
    return x.shape


def _broadcast(x: Any, other: Any, *_: Any) -> Shape:
    shapes = [tuple(one.shape) for one in (x, other) if isinstance(one, Tensor)]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise RuntimeError(str(error)) from error


def _batch_norm(x: Tensor, *statistics: Any) -> Shape:
    for one in statistics:
        if isinstance(one, Tensor) and len(one) != x.shape[1]:
            raise RuntimeError(f"batch norm of {len(one)} channels on {x.shape[1]}")
    return x.shape


def _layer_norm(x: Tensor, normalized: Sequence[int], *_: Any) -> Shape:
    if list(x.shape[-len(normalized) :]) != list(normalized):
        raise RuntimeError(f"layer norm of {normalized} on {tuple(x.shape)}")
    return x.shape


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Shape:
    if x.shape[-1] != weight.shape[1]:
        raise RuntimeError(f"a linear layer of {weight.shape[1]} inputs on {x.shape[-1]}")
    return (*x.shape[:-1], weight.shape[0])


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Shape:
    if x.dim() != weight.dim() or x.shape[1] != weight.shape[1] * groups:
        raise RuntimeError(f"a weight {tuple(weight.shape)} convolves {tuple(x.shape)}")
    rank = x.dim() - 2
    numbers = [list(one) * (rank // len(one)) for one in (stride, padding, dilation)]
    windows = zip(x.shape[2:], weight.shape[2:], *numbers, strict=True)
    return (
        *(x.shape[0], weight.shape[0]),
        *(
            (size + 2 * pad - gap * (reach - 1) - 1) // step + 1
            for size, reach, step, pad, gap in windows
        ),
    )


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> Shape:
    if query.shape[:-2] != key.shape[:-2] or key.shape[:-1] != value.shape[:-1]:
        raise RuntimeError("the parts of an attention do not fit")
    return (*query.shape[:-1], value.shape[-1])


def _embedding(weight: Tensor, ids: Tensor, *_: Any) -> Shape:
    return (*ids.shape, *weight.shape[1:])


def _adaptive_pool(x: Tensor, sizes: Sequence[int]) -> Shape:
    return (*x.shape[: -len(sizes)], *sizes)


_ADDITIONS = frozenset({aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor})
_SHAPES: Mapping[Any, Callable[..., Shape]] = {
    **dict.fromkeys(
        (
            aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.hardswish.default,
            aten.hardsigmoid.default, aten.silu.default, aten.gelu.default,
            aten.leaky_relu.default, aten.elu.default, aten.sigmoid.default, aten.tanh.default,
            aten.softmax.int, aten.contiguous.default,
        ),
        _same,
    ),
    **dict.fromkeys(_ADDITIONS, _broadcast),
    aten.batch_norm.default: _batch_norm,
    aten.layer_norm.default: _layer_norm,
    aten.linear.default: _linear,
    aten.embedding.default: _embedding,
    aten.conv1d.default: _convolution,
    aten.conv2d.default: _convolution,
    aten.scaled_dot_product_attention.default: _attention,
    aten.adaptive_avg_pool2d.default: _adaptive_pool,
}  # fmt: skip
