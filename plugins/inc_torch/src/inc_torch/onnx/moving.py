"""Ops that move values or change shapes; they do so on integers as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from inc_core.errors import UnsupportedModelError
from inc_torch.naming import op_name
from inc_torch.onnx.builder import Size
from inc_torch.onnx.translation import Translate, Translation, numpy_type
from inc_torch.shapes import ANY

__all__ = ["TABLE", "pads"]

aten = torch.ops.aten

# ONNX: up to the end of a dimension, whatever its size
_END = np.iinfo(np.int64).max
_REFLECTIONS = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


def pads(sides: Sequence[int], rank: int) -> list[int]:
    """Return torch's pairs from the last dimension backwards as ONNX's list: all begins, all ends."""
    before, after = [0] * rank, [0] * rank
    for place in range(len(sides) // 2):
        before[rank - 1 - place], after[rank - 1 - place] = sides[2 * place], sides[2 * place + 1]
    return before + after


def _reshape(t: Translation, node: fx.Node) -> str:
    return t.build.call("Reshape", t.tensor(node.args[0]), t.sizes(node.args[1]))


def _flatten(t: Translation, node: fx.Node) -> str:
    given, rank = t.arguments(node), t.rank(node.args[0])
    if rank == 0:
        return t.build.call("Reshape", t.tensor(node.args[0]), t.build.integers([-1]))
    return _replace_dimensions(
        t, node.args[0], given["start_dim"] % rank, given["end_dim"] % rank, [-1]
    )


def _unflatten(t: Translation, node: fx.Node) -> str:
    x, dim, sizes = node.args[:3]
    dim = dim % t.rank(x)
    return _replace_dimensions(t, x, dim, dim, sizes)


def _replace_dimensions(
    t: Translation, x: fx.Node, first: int, last: int, sizes: Sequence[Any]
) -> str:
    """Put ``sizes`` in the place of the dimensions ``first`` to ``last``."""
    rank = t.rank(x)
    if last == rank - 1:  # 0 keeps a dimension
        return t.build.call("Reshape", t.tensor(x), t.sizes([0] * first + list(sizes)))
    after = t.build.call("Shape", t.tensor(x), start=last + 1, end=rank)
    shape = t.build.call("Concat", t.sizes([0] * first + list(sizes)), after, axis=0)
    return t.build.call("Reshape", t.tensor(x), shape)


def _permute(t: Translation, node: fx.Node) -> str:
    rank = t.rank(node.args[0])
    order = [dim % rank for dim in node.args[1]]
    return t.build.call("Transpose", t.tensor(node.args[0]), perm=order)


def _transpose(t: Translation, node: fx.Node) -> str:
    x, rank = node.args[0], t.rank(node.args[0])
    one, other = node.args[1:] if len(node.args) > 1 else (rank - 2, rank - 1)
    order = list(range(rank))
    order[one], order[other] = order[other], order[one]
    return t.build.call("Transpose", t.tensor(x), perm=order)


def _unsqueeze(t: Translation, node: fx.Node) -> str:
    axes = t.build.integers([node.args[1] % t.rank(node)])
    return t.build.call("Unsqueeze", t.tensor(node.args[0]), axes)


def _squeeze(t: Translation, node: fx.Node) -> str:
    x, rank = node.args[0], t.rank(node.args[0])
    dims = node.args[1] if len(node.args) > 1 else range(rank)
    dims = [dims] if isinstance(dims, int) else dims
    shape = x.meta["val"].shape
    axes = [dim % rank for dim in dims if shape[dim] == 1]
    return t.build.call("Squeeze", t.tensor(x), t.build.integers(axes)) if axes else t.tensor(x)


def _expand(t: Translation, node: fx.Node) -> str:
    sizes = [1 if t.value(size) == -1 else size for size in node.args[1]]  # 1 keeps a dimension
    return t.build.call("Expand", t.tensor(node.args[0]), t.sizes(sizes))


def _repeat(t: Translation, node: fx.Node) -> str:
    x, counts = node.args
    name, more = t.tensor(x), len(counts) - t.rank(x)
    if more:
        name = t.build.call("Unsqueeze", name, t.build.integers(range(more)))
    return t.build.call("Tile", name, t.sizes(counts))


def _slice(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    start = 0 if given["start"] is None else given["start"]
    end = _END if given["end"] is None else given["end"]
    if t.value(start) == 0 and t.value(end) == _END and given["step"] == 1:
        return t.tensor(node.args[0])
    return _cut(t, node.args[0], given["dim"], start, end, given["step"])


def _narrow(t: Translation, node: fx.Node) -> str:
    x, dim, start, length = node.args
    if isinstance(t.value(start), int) and isinstance(t.value(length), int):
        return _cut(t, x, dim, start, t.value(start) + t.value(length), 1)
    end = Size(t.build.call("Add", t.tensor(start), t.tensor(length)))
    return _cut(t, x, dim, start, end, 1)


def _cut(t: Translation, x: fx.Node, dim: int, start: Any, end: Any, step: int) -> str:
    places = (t.vector(start), t.vector(end), t.build.integers([dim]), t.build.integers([step]))
    return t.build.call("Slice", t.tensor(x), *places)


def _select(t: Translation, node: fx.Node) -> str:
    x, dim, place = node.args
    return t.build.call("Gather", t.tensor(x), t.tensor(place, torch.int64), axis=int(dim))


def _index_select(t: Translation, node: fx.Node) -> str:
    x, dim, places = node.args
    return t.build.call("Gather", t.tensor(x), t.tensor(places), axis=int(dim))


def _index(t: Translation, node: fx.Node) -> str:
    """Read at tensors of places, broadcast together: of one dimension, or of the first ones."""
    x, places = node.args
    given = [one for one in places if one is not None]
    if any(t.dtype(one) in (torch.bool, torch.uint8) for one in given):
        raise UnsupportedModelError(f"{op_name(node)!r} reads by a mask: the result's size is open")
    names = [t.tensor(one, torch.int64) for one in given]
    if len(names) == 1:
        return t.build.call("Gather", t.tensor(x), *names, axis=places.index(given[0]))
    if None in places[: len(given)]:
        raise UnsupportedModelError(
            f"{op_name(node)!r} reads at places of several dimensions that are not the first ones"
        )
    together = names[0]
    for name in names[1:]:
        together = t.build.call("Add", together, name)
    shape, last = t.build.call("Shape", together), t.build.integers([-1])
    alike = [t.build.call("Expand", name, shape) for name in names]
    columns = [t.build.call("Unsqueeze", name, last) for name in alike]
    return t.build.call("GatherND", t.tensor(x), t.build.call("Concat", *columns, axis=-1))


def _gather(t: Translation, node: fx.Node) -> str:
    x, dim, places = node.args[:3]
    return t.build.call("GatherElements", t.tensor(x), t.tensor(places), axis=int(dim))


def _concatenate(t: Translation, node: fx.Node) -> str:
    dtype = t.dtype(node)
    parts = [t.tensor(one, dtype) for one in node.args[0]]
    axis = t.arguments(node)["dim"]
    return t.build.call("Concat", *parts, axis=int(axis))


def _stack(t: Translation, node: fx.Node) -> str:
    axis = t.arguments(node)["dim"] % t.rank(node)
    axes, dtype = t.build.integers([axis]), t.dtype(node)
    parts = [t.build.call("Unsqueeze", t.tensor(one, dtype), axes) for one in node.args[0]]
    return t.build.call("Concat", *parts, axis=axis)


def _split(t: Translation, node: fx.Node) -> list[str]:
    """Split as torch did while tracing: into as many parts of the same sizes."""
    dim = int(t.arguments(node).get("dim", 0))
    if node.args[0].meta["val"].shape[dim] == ANY:
        raise UnsupportedModelError(f"{op_name(node)!r} splits a dimension whose size is open")
    sizes = [int(one.shape[dim]) for one in node.meta["val"]]
    return t.build.call_many(
        "Split", len(sizes), t.tensor(node.args[0]), t.build.integers(sizes), axis=dim
    )


def _unbind(t: Translation, node: fx.Node) -> list[str]:
    dim = int(t.arguments(node).get("dim", 0))
    count = len(node.meta["val"])
    if count == ANY:
        raise UnsupportedModelError(f"{op_name(node)!r} splits a dimension whose size is open")
    places = [t.build.constant(np.int64(place)) for place in range(count)]
    return [t.build.call("Gather", t.tensor(node.args[0]), one, axis=dim) for one in places]


def _same(t: Translation, node: fx.Node) -> str:
    return t.tensor(node.args[0])


def _pad(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    mode = given.get("mode", "constant")
    if mode not in _REFLECTIONS:
        raise UnsupportedModelError(f"{op_name(node)!r}: ONNX has no padding {mode!r}")
    value = given.get("value")
    filling = t.tensor(0 if value is None else value, t.dtype(node))
    sides = t.build.integers(pads(given["pad"], t.rank(node)))
    return t.build.call("Pad", t.tensor(node.args[0]), sides, filling, mode=_REFLECTIONS[mode])


def _range(t: Translation, node: fx.Node) -> str:
    given, dtype = t.arguments(node), t.dtype(node)
    ends = (given.get("start", 0), given["end"], given.get("step", 1))
    return t.build.call("Range", *(t.tensor(one, dtype) for one in ends))


def _filled(value: float | None = None, place: int = 0) -> Translate:
    """Translate what makes a tensor of one value, whose sizes are argument ``place``, the value the next."""

    def translate(t: Translation, node: fx.Node) -> str:
        dtype = t.dtype(node)
        assert dtype is not None
        fill = t.value(node.args[place + 1]) if value is None else value
        constant = t.build.constant(np.asarray(fill, numpy_type(dtype)))
        return t.build.call("Expand", constant, t.sizes(node.args[place]))

    return translate


def _expand_as(t: Translation, node: fx.Node) -> str:
    x, other = (t.tensor(one) for one in node.args)
    return t.build.call("Expand", x, t.build.call("Shape", other))


def _triangle(upper: int) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        diagonal = t.build.constant(np.int64(t.arguments(node)["diagonal"]))
        return t.build.call("Trilu", t.tensor(node.args[0]), diagonal, upper=upper)

    return translate


def _flip(t: Translation, node: fx.Node) -> str:
    x, dims = node.args
    first, last, step = ([one] * len(dims) for one in (-1, -_END, -1))
    places = (t.build.integers(one) for one in (first, last, list(dims), step))
    return t.build.call("Slice", t.tensor(x), *places)


def _roll(t: Translation, node: fx.Node) -> str:
    """Put what is pushed over the end before the beginning, one dimension after the other."""
    given, name = t.arguments(node), t.tensor(node.args[0])
    if not given["dims"]:
        raise UnsupportedModelError(
            f"{op_name(node)!r} rolls over all dimensions as if they were one"
        )
    for shift, dim in zip(given["shifts"], given["dims"], strict=True):
        size = int(node.meta["val"].shape[dim])
        # as it is where it can be: the size of an open dimension is not this one
        start = -shift if abs(shift) < size else -(shift % size)
        place, axis = t.build.integers([start]), t.build.integers([dim])
        if start:
            last = t.build.call("Slice", name, place, t.build.integers([_END]), axis)
            first = t.build.call("Slice", name, t.build.integers([0]), place, axis)
            name = t.build.call("Concat", last, first, axis=dim)
    return name


def _pixel_shuffle(t: Translation, node: fx.Node) -> str:
    return t.build.call(
        "DepthToSpace", t.tensor(node.args[0]), blocksize=int(node.args[1]), mode="CRD"
    )


# the free number of cubic interpolation, as torch has it
_CUBIC = -0.75


def _nearest(t: Translation, node: fx.Node) -> str:
    """Enlarge images, each place of the result reading the place of the source below it."""
    modes = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    return _resize(t, node, modes)


def _between(mode: str) -> Translate:
    """Resize images, each place of the result between places of the source."""

    def translate(t: Translation, node: fx.Node) -> str:
        aligned = t.arguments(node)["align_corners"]
        places = "align_corners" if aligned else "pytorch_half_pixel"
        modes = {"mode": mode, "coordinate_transformation_mode": places}
        if mode == "cubic":
            modes["cubic_coeff_a"] = _CUBIC
        return _resize(t, node, modes)

    return translate


def _resize(t: Translation, node: fx.Node, modes: Mapping[str, Any]) -> str:
    given = t.arguments(node)
    if given["scale_factors"] is not None:
        scales = t.build.constant(np.asarray([1, 1, *given["scale_factors"]], np.float32))
        return t.build.call("Resize", t.tensor(node.args[0]), "", scales, **modes)
    kept = t.build.call("Shape", t.tensor(node.args[0]), start=0, end=2)
    sizes = t.build.call("Concat", kept, t.sizes(given["output_size"]), axis=0)
    return t.build.call("Resize", t.tensor(node.args[0]), "", "", sizes, **modes)


TABLE: Mapping[Any, Translate] = {
    aten.reshape.default: _reshape,
    aten.view.default: _reshape,
    aten._unsafe_view.default: _reshape,
    aten.flatten.using_ints: _flatten,
    aten.unflatten.int: _unflatten,
    aten.permute.default: _permute,
    aten.transpose.int: _transpose,
    aten.t.default: _transpose,
    aten.mT.default: _transpose,
    aten.unsqueeze.default: _unsqueeze,
    aten.squeeze.default: _squeeze,
    aten.squeeze.dim: _squeeze,
    aten.squeeze.dims: _squeeze,
    aten.expand.default: _expand,
    aten.repeat.default: _repeat,
    aten.slice.Tensor: _slice,
    aten.narrow.default: _narrow,
    aten.select.int: _select,
    aten.index_select.default: _index_select,
    aten.gather.default: _gather,
    aten.index.Tensor: _index,
    aten.cat.default: _concatenate,
    aten.stack.default: _stack,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.chunk.default: _split,
    aten.unbind.int: _unbind,
    aten.contiguous.default: _same,
    aten.clone.default: _same,
    aten.pad.default: _pad,
    aten.constant_pad_nd.default: _pad,
    aten.arange.default: _range,
    aten.arange.start: _range,
    aten.arange.start_step: _range,
    aten.full.default: _filled(),
    aten.zeros.default: _filled(0.0),
    aten.ones.default: _filled(1.0),
    aten.new_full.default: _filled(place=1),
    aten.new_zeros.default: _filled(0.0, place=1),
    aten.new_ones.default: _filled(1.0, place=1),
    aten.tril.default: _triangle(upper=0),
    aten.triu.default: _triangle(upper=1),
    aten.flip.default: _flip,
    aten.roll.default: _roll,
    aten.pixel_shuffle.default: _pixel_shuffle,
    aten.upsample_nearest2d.vec: _nearest,
    aten.upsample_bilinear2d.vec: _between("linear"),
    aten.upsample_bicubic2d.vec: _between("cubic"),
    aten.expand_as.default: _expand_as,
}
