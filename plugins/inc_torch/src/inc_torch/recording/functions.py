"""Which functions of torch are recorded, and as which operators: the vocabulary of plain modules.

The keys are the functions and methods that Python code calls. What is not here is left to ``torch.export``.
Each entry takes the tape, then the arguments of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from inc_torch.recording.tape import NotPlainError, Tape

__all__ = ["FUNCTIONS"]

aten = torch.ops.aten

# functions and methods of this name take what the operator takes
_BY_NAME: Mapping[str, Any] = {
    "adaptive_avg_pool1d": aten.adaptive_avg_pool1d.default,
    "add": aten.add.Tensor,
    "add_": aten.add_.Tensor,
    "avg_pool1d": aten.avg_pool1d.default,
    "avg_pool2d": aten.avg_pool2d.default,
    "addmm": aten.addmm.default,
    "bmm": aten.bmm.default,
    "chunk": aten.chunk.default,
    "clamp": aten.clamp.default,
    "contiguous": aten.contiguous.default,
    "div": aten.div.Tensor,
    "expand": aten.expand.default,
    "flatten": aten.flatten.using_ints,
    "gelu": aten.gelu.default,
    "linear": aten.linear.default,
    "masked_fill": aten.masked_fill.Scalar,
    "matmul": aten.matmul.default,
    "mul": aten.mul.Tensor,
    "permute": aten.permute.default,
    "relu_": aten.relu_.default,
    "reshape": aten.reshape.default,
    "scaled_dot_product_attention": aten.scaled_dot_product_attention.default,
    "sigmoid": aten.sigmoid.default,
    "sub": aten.sub.Tensor,
    "sum": aten.sum.dim_IntList,
    "t": aten.t.default,
    "tanh": aten.tanh.default,
    "transpose": aten.transpose.int,
    "triu": aten.triu.default,
    "unbind": aten.unbind.int,
    "unflatten": aten.unflatten.int,
    "unsqueeze": aten.unsqueeze.default,
    "view": aten.view.default,
}
# these tell numbers, and no operator is called
_FACTS = (
    Tensor.dim,
    Tensor.size,
    Tensor.__len__,
    Tensor.shape.__get__,
    Tensor.ndim.__get__,
    Tensor.dtype.__get__,
)


def _plain(target: Any, tape: Tape, *args: Any, **kwargs: Any) -> Any:
    return tape.call(target, *args, **kwargs)


def _fact(function: Any, tape: Tape, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _convolution(dimensions: int) -> Callable[..., Tensor]:
    packet = getattr(aten, f"conv{dimensions}d")

    def call(tape: Tape, input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        padding = args[2] if len(args) > 2 else kwargs.get("padding", 0)
        overload = packet.padding if isinstance(padding, str) else packet.default
        return tape.call(overload, input, weight, *args, **kwargs)

    return call


def _in_place_or_not(name: str) -> Callable[..., Tensor]:
    """Return the record of a function whose last argument says whether to write over the first."""
    functional, writing = getattr(aten, name).default, getattr(aten, f"{name}_").default

    def call(tape: Tape, *args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        if args and isinstance(args[-1], bool):
            *args, inplace = args
        return tape.call(writing if inplace else functional, *args, **kwargs)

    return call


def _hardtanh(
    tape: Tape, input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    target = aten.hardtanh_ if inplace else aten.hardtanh
    return tape.call(target.default, input, min_val, max_val)


def _dropout(
    tape: Tape, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    if training:
        raise NotPlainError("it drops values at random")
    return input


def _batch_norm(
    tape: Tape,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if training:
        raise NotPlainError("it normalizes by the batch itself")
    statistics = (weight, bias, running_mean, running_var, False, momentum, eps)
    return tape.call(aten.batch_norm.default, input, *statistics, torch.backends.cudnn.enabled)


def _layer_norm(
    tape: Tape,
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    return tape.call(aten.layer_norm.default, input, normalized_shape, weight, bias, eps)


def _group_norm(
    tape: Tape,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    return tape.call(aten.group_norm.default, input, num_groups, weight, bias, eps)


def _embedding(
    tape: Tape,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    *_: Any,
    **__: Any,
) -> Tensor:
    if max_norm is not None:
        raise NotPlainError("an embedding changes its own weights (max_norm)")
    place = -1 if padding_idx is None else padding_idx % weight.shape[0]
    return tape.call(aten.embedding.default, weight, input, place)


def _softmax(
    tape: Tape,
    input: Tensor,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: torch.dtype | None = None,
) -> Tensor:
    if dim is None or dtype is not None:
        raise NotPlainError("a softmax without a dimension, or in another dtype")
    return tape.call(aten.softmax.int, input, dim)


def _method_softmax(tape: Tape, input: Tensor, dim: int) -> Tensor:
    return tape.call(aten.softmax.int, input, dim)


def _max_pool2d(
    tape: Tape,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    if return_indices:
        raise NotPlainError("a pooling tells where it found its maxima")
    geometry = (kernel_size, [] if stride is None else stride, padding, dilation)
    return tape.call(aten.max_pool2d.default, input, *geometry, ceil_mode)


def _adaptive_avg_pool2d(tape: Tape, input: Tensor, output_size: Any) -> Tensor:
    sizes = output_size if isinstance(output_size, (list, tuple)) else (output_size,) * 2
    if None in sizes:
        raise NotPlainError("a pooling keeps one dimension")
    return tape.call(aten.adaptive_avg_pool2d.default, input, sizes)


def _mean(tape: Tape, input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    if dim is None:
        raise NotPlainError("a mean of all values")
    return tape.call(aten.mean.dim, input, dim, keepdim)


def _pad(
    tape: Tape, input: Tensor, pad: Any, mode: str = "constant", value: float | None = None
) -> Tensor:
    return tape.call(aten.pad.default, input, pad, mode, value)


def _cat(tape: Tape, tensors: Any, dim: int = 0) -> Tensor:
    return tape.call(aten.cat.default, list(tensors), dim)


def _squeeze(tape: Tape, input: Tensor, dim: Any = None) -> Tensor:
    if type(dim) is not int:
        raise NotPlainError("all dimensions of size 1 are dropped")
    return tape.call(aten.squeeze.dim, input, dim)


def _to(tape: Tape, input: Tensor, dtype: torch.dtype) -> Tensor:
    if not isinstance(dtype, torch.dtype):
        raise NotPlainError("it moves tensors to a device")
    return tape.call(aten.to.dtype, input, dtype)


def _cast(dtype: torch.dtype) -> Callable[..., Tensor]:
    return lambda tape, input: _to(tape, input, dtype)


def _comparison(name: str) -> Callable[..., Tensor]:
    packet = getattr(aten, name)

    def call(tape: Tape, input: Tensor, other: Any) -> Tensor:
        overload = packet.Tensor if isinstance(other, Tensor) else packet.Scalar
        return tape.call(overload, input, other)

    return call


def _device(tape: Tape, input: Tensor) -> torch.device:
    """Tell what is true of the real inputs: float models are traced on the CPU."""
    return torch.device("cpu")


def _arange(tape: Tape, end: int, **kwargs: Any) -> Tensor:
    return tape.call(aten.arange.default, end, **_on_cpu(kwargs))


def _ones(tape: Tape, *size: Any, **kwargs: Any) -> Tensor:
    sizes = list(size[0]) if isinstance(size[0], (list, tuple)) else list(size)
    return tape.call(aten.ones.default, sizes, **_on_cpu(kwargs))


def _on_cpu(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**kwargs, "device": torch.device("cpu")}


def _item(tape: Tape, x: Tensor, index: Any) -> Tensor:
    """Record indexing by numbers and slices, one dimension after the other."""
    items = index if isinstance(index, tuple) else (index,)
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


def _table() -> Mapping[Any, Callable[..., Any]]:
    table: dict[Any, Callable[..., Any]] = {}
    for name, target in _BY_NAME.items():
        for owner in (torch, Tensor, F):
            function = getattr(owner, name, None)
            if function is not None:
                table[function] = partial(_plain, target)
    for name in ("relu", "relu6", "hardswish", "silu", "leaky_relu", "elu", "hardsigmoid"):
        table[getattr(F, name)] = _in_place_or_not(name)
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        for owner in (torch, Tensor):
            table[getattr(owner, name)] = _comparison(name)
    for function in _FACTS:
        table[function] = partial(_fact, function)
    own = {
        torch.relu: partial(_plain, aten.relu.default),
        Tensor.relu: partial(_plain, aten.relu.default),
        F.conv1d: _convolution(1),
        F.conv2d: _convolution(2),
        F.conv3d: _convolution(3),
        F.hardtanh: _hardtanh,
        F.dropout: _dropout,
        F.batch_norm: _batch_norm,
        F.layer_norm: _layer_norm,
        F.group_norm: _group_norm,
        F.embedding: _embedding,
        F.softmax: _softmax,
        Tensor.softmax: _method_softmax,
        torch.softmax: _method_softmax,
        F.max_pool2d: _max_pool2d,
        F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
        torch.mean: _mean,
        Tensor.mean: _mean,
        F.pad: _pad,
        torch.cat: _cat,
        torch.squeeze: _squeeze,
        Tensor.squeeze: _squeeze,
        Tensor.to: _to,
        Tensor.bool: _cast(torch.bool),
        Tensor.float: _cast(torch.float32),
        Tensor.device.__get__: _device,
        torch.arange: _arange,
        torch.ones: _ones,
        Tensor.__getitem__: _item,
    }
    return table | own


FUNCTIONS = _table()
