"""Average pooling of integers: which nodes can do it, and what they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

from inc_torch.static.carry import pair

__all__ = ["Window", "is_global_mean", "keeps_dimensions", "window_of"]

aten = torch.ops.aten


@dataclass(frozen=True)
class Window:
    """An average over windows in which every place counts, padding included."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


def is_global_mean(node: fx.Node) -> bool:
    """Whether ``node`` averages height and width of a batch of images away."""
    if node.target is aten.adaptive_avg_pool2d.default:
        return pair(node.args[1]) == [1, 1] and _rank(node) == 4
    if node.target is aten.mean.dim:
        dims: Sequence[int] = node.args[1] or ()
        return _rank(node) == 4 and sorted(d % 4 for d in dims) == [2, 3] and not node.kwargs
    return False


def keeps_dimensions(node: fx.Node) -> bool:
    """Whether a global mean leaves height and width of 1."""
    return node.target is not aten.mean.dim or (len(node.args) > 2 and bool(node.args[2]))


def window_of(node: fx.Node) -> Window | None:
    """Return the windows of an average pooling that a depthwise convolution can compute, or ``None``."""
    if node.target is not aten.avg_pool2d.default or _rank(node) != 4 or node.kwargs:
        return None
    given = dict(enumerate(node.args[1:]))
    kernel = pair(given[0])
    padding = pair(given.get(2, 0))
    counts_padding = given.get(4, True) or padding == [0, 0]
    if given.get(3, False) or not counts_padding or given.get(5) is not None:
        return None
    if _channels(node) is None:
        return None
    stride = pair(given.get(1) or kernel)
    return Window((kernel[0], kernel[1]), (stride[0], stride[1]), (padding[0], padding[1]))


def _value(node: fx.Node) -> torch.Tensor | None:
    value = node.args[0].meta.get("val") if isinstance(node.args[0], fx.Node) else None
    return value if isinstance(value, torch.Tensor) else None


def _rank(node: fx.Node) -> int | None:
    value = _value(node)
    return None if value is None else value.dim()


def _channels(node: fx.Node) -> int | None:
    value = _value(node)
    return value.shape[1] if value is not None and isinstance(value.shape[1], int) else None
