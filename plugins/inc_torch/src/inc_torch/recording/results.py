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
    return _joined(*(tuple(one.shape) for one in (x, other) if isinstance(one, Tensor)))


def _joined(*shapes: tuple[int, ...]) -> tuple[int, ...]:
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
    places = _places(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return (x.shape[0], weight.shape[0], *places)


def _max_pool2d(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Shape:
    places = _places(x.shape[-2:], kernel, stride or kernel, padding, dilation, ceil_mode)
    return (*x.shape[:-2], *places)


def _places(
    sizes: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    ceil_mode: bool = False,
) -> Shape:
    """Return how often a window fits; sequences of one number are of that number for each dimension."""
    rank = len(sizes)
    spread = [list(one) * (rank // len(one)) for one in (kernel, stride, padding, dilation)]
    found = []
    for size, reach, step, pad, gap in zip(sizes, *spread, strict=True):
        room = size + 2 * pad - gap * (reach - 1) - 1
        count = (-(-room // step) if ceil_mode else room // step) + 1
        if ceil_mode and (count - 1) * step >= size + pad:
            count -= 1  # a window must begin inside the image or its left padding
        found.append(count)
    return found


def _attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *_: Any
) -> Shape:
    weights = (*query.shape[:-1], key.shape[-2])
    masked = weights if mask is None else _joined(weights, tuple(mask.shape))
    fits = query.shape[:-2] == key.shape[:-2] and key.shape[:-1] == value.shape[:-1]
    if not fits or masked != weights:
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
    aten.max_pool2d.default: _max_pool2d,
    aten.scaled_dot_product_attention.default: _attention,
    aten.adaptive_avg_pool2d.default: _adaptive_pool,
}  # fmt: skip
