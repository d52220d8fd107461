"""Convolutions without zero points: what these add to a result goes into the bias, once.

oneDNN works out what the zero point of an input comes to anew in every call: 1.5 ms for a weight of
512 x 512 x 3 x 3, three times as long as the convolution itself (one core, AVX512-VNNI, 2026-11-25). The zero
points of the result and of what is added cost little there, and nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import fx

from inc_torch.static.config import Scale
from inc_torch.static.fusion import Geometry

__all__ = ["Zeros", "explicit_padding", "input_size", "zeros_of"]


@dataclass(frozen=True)
class Zeros:
    """Zero points that are left to the kernel, and what the bias does for the others.

    Attributes:
        x: Of the input.
        other: Of what is added.
        out: Of the result.
        per_input: What each weight of a channel adds to it less: scale times zero point of the input.
        plus: What the bias of every channel gains.
    """

    x: int = 0
    other: int = 0
    out: int = 0
    per_input: float = 0.0
    plus: float = 0.0


def zeros_of(
    x: Scale, padded: bool, other: Scale | None, out: Scale | None, is_clipped: bool
) -> Zeros:
    """Move every zero point into the bias that can be there.

    Args:
        x: Of the input.
        padded: Whether the kernel itself pads: it pads with the zero point then, and must know it.
        other: Of what is added.
        out: Of the result; ``None`` for a float one.
        is_clipped: Whether something follows bias and addition, so that the result's cannot move.
    """
    zeros = Zeros(x=x.zero_point) if padded else Zeros(per_input=x.scale * x.zero_point)
    if other is not None:
        zeros = replace(zeros, plus=zeros.plus - other.scale * other.zero_point)
    if out is None:
        return zeros
    if is_clipped:
        return replace(zeros, out=out.zero_point)
    return replace(zeros, plus=zeros.plus + out.scale * out.zero_point)


def explicit_padding(
    x_zero_point: int, geometry: Geometry, weight: torch.Tensor, image: fx.Node
) -> bool:
    """Whether to pad in an op of its own, so that the kernel needs no zero point.

    Not where nothing is to be padded, and not for a freshly rounded image that is larger than the weight:
    there the copy costs more than the kernel's way.
    """
    size = input_size(image)
    small_weight = size is not None and weight.numel() <= size[1] * size[2] * size[-1]
    fresh = image.op == "placeholder"
    return x_zero_point != 0 and any(geometry[1]) and not (fresh and small_weight)


def input_size(tensor: fx.Node) -> list[int] | None:
    """Return the shape of a traced tensor; a dynamic size counts as the one it was traced with."""
    value = tensor.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return None
    return [one if isinstance(one, int) else int(one.node.hint) for one in value.shape]
