"""Functions that make tensors, move them or take parts of them, as the operators that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from inc_torch.recording.tape import NotPlainError, Tape

__all__ = [
    "arange",
    "cast",
    "device_of",
    "filled",
    "full",
    "interpolate",
    "item",
    "method_split",
    "new",
    "shaped_as",
    "split",
    "to",
]

aten = torch.ops.aten

_CPU = ("cpu", torch.device("cpu"))
_UPSAMPLING = {
    "nearest": aten.upsample_nearest2d.vec,
    "bilinear": aten.upsample_bilinear2d.vec,
    "bicubic": aten.upsample_bicubic2d.vec,
}


def device_of(tape: Tape, input: Tensor) -> torch.device:
    """Tell what is true of the real inputs: float models are traced on the CPU."""
    return torch.device("cpu")


def arange(tape: Tape, *places: int, **kwargs: Any) -> Tensor:
    """Record a range of whole numbers: its end, or start and end, or a step as well."""
    if not 1 <= len(places) <= 3:
        raise NotPlainError("a range whose ends are named")
    target = (aten.arange.default, aten.arange.start, aten.arange.start_step)[len(places) - 1]
    return tape.call(target, *places, **_on_cpu(kwargs))


def filled(target: Any) -> Callable[..., Tensor]:
    """Return the record of a function that makes a tensor of given sizes: ``ones``, ``zeros``."""

    def call(tape: Tape, *size: Any, **kwargs: Any) -> Tensor:
        sizes = list(size[0]) if isinstance(size[0], (list, tuple)) else list(size)
        return tape.call(target, sizes, **_on_cpu(kwargs))

    return call


def _on_cpu(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**kwargs, "device": torch.device("cpu")}


def item(tape: Tape, x: Tensor, index: Any) -> Tensor:
    """Record indexing by numbers and slices, one dimension after the other; or by tensors of places."""
    items = index if isinstance(index, tuple) else (index,)
    if any(isinstance(one, Tensor) for one in items):
        return tape.call(aten.index.Tensor, x, [_places(one) for one in items])
    places = [one is Ellipsis for one in items]
    if any(places):
        place = places.index(True)
        counted = sum(one is not None for one in items) - 1
        rest = (slice(None),) * (x.dim() - counted)
        items = (*items[:place], *rest, *items[place + 1 :])
    dim = 0
    for item in items:
        if type(item) is int:
            x = tape.call(aten.select.int, x, dim, item)
            continue
        if item is None:
            x = tape.call(aten.unsqueeze.default, x, dim)
        elif not isinstance(item, slice):
            raise NotPlainError(f"an index is a {type(item).__name__}")
        elif item != slice(None):
            step = 1 if item.step is None else item.step
            x = tape.call(aten.slice.Tensor, x, dim, item.start or 0, item.stop, step)
        dim += 1
    return x


def _places(item: Any) -> Tensor | None:
    if isinstance(item, Tensor) and item.dtype in (torch.int64, torch.int32):
        return item
    if isinstance(item, slice) and item == slice(None):
        return None
    raise NotPlainError(f"an index is a {type(item).__name__} beside tensors, or a mask")


def full(tape: Tape, size: Any, fill_value: Any, **kwargs: Any) -> Tensor:
    """Record a tensor that holds one number."""
    return tape.call(aten.full.default, list(size), fill_value, **_on_cpu(kwargs))


def new(target: Any) -> Callable[..., Tensor]:
    """Return the record of a method that makes a tensor of another's dtype."""

    def call(tape: Tape, like: Tensor, *size: Any, **kwargs: Any) -> Tensor:
        return filled(target)(tape, *size, **{"dtype": like.dtype, **kwargs})

    return call


def to(tape: Tape, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Record a change of dtype; everything is on the CPU already."""
    for one in (*args, *kwargs.values()):
        if not (one is None or isinstance(one, torch.dtype) or one in _CPU):
            raise NotPlainError(f"it moves tensors: to({one})")
    dtypes = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.dtype)]
    return tape.call(aten.to.dtype, input, dtypes[0]) if dtypes else input


def cast(dtype: torch.dtype) -> Callable[..., Tensor]:
    """Return the record of a method that changes the dtype: ``float``, ``long``."""
    return lambda tape, input: to(tape, input, dtype)


def interpolate(
    tape: Tape,
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Record what torch's own code makes of it for images."""
    target = _UPSAMPLING.get(mode)
    if target is None or input.dim() != 4 or recompute_scale_factor or antialias:
        raise NotPlainError(f"an interpolation of mode {mode}")
    sizes = [size] * 2 if type(size) is int else size
    factors = scale_factor
    if factors is not None and not isinstance(factors, (list, tuple)):
        factors = [factors] * 2
    if factors is not None:
        factors = [float(one) for one in factors]
    corners = () if mode == "nearest" else (bool(align_corners),)
    return tape.call(target, input, None if sizes is None else list(sizes), *corners, factors)


def split(tape: Tape, tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Record parts of one size, or of given sizes."""
    is_one_size = type(split_size_or_sections) is int
    target = aten.split.Tensor if is_one_size else aten.split_with_sizes.default
    return tuple(tape.call(target, tensor, split_size_or_sections, dim))


def method_split(tape: Tape, tensor: Tensor, split_size: Any, dim: int = 0) -> Any:
    """Record the method of that name, whose parameter has another name."""
    return split(tape, tensor, split_size, dim)


def shaped_as(target: Any) -> Callable[..., Tensor]:
    """Return the record of a function that takes a tensor for its sizes alone."""
    return lambda tape, input, other: tape.call(target, input, list(other.shape))
