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

from inc_torch.recording.making import (
    arange,
    cast,
    device_of,
    filled,
    full,
    interpolate,
    item,
    method_split,
    new,
    shaped_as,
    split,
    to,
)
from inc_torch.recording.tape import NotPlainError, Tape

__all__ = ["FUNCTIONS"]

aten = torch.ops.aten

# functions and methods of this name take what the operator takes
_BY_NAME: Mapping[str, Any] = {
    "_weight_norm": aten._weight_norm.default,
    "abs": aten.abs.default,
    "amax": aten.amax.default,
    "amin": aten.amin.default,
    "argmax": aten.argmax.default,
    "adaptive_avg_pool1d": aten.adaptive_avg_pool1d.default,
    "add": aten.add.Tensor,
    "add_": aten.add_.Tensor,
    "avg_pool1d": aten.avg_pool1d.default,
    "avg_pool2d": aten.avg_pool2d.default,
    "addmm": aten.addmm.default,
    "bmm": aten.bmm.default,
    "chunk": aten.chunk.default,
    "clamp": aten.clamp.default,
    "clamp_min": aten.clamp_min.default,
    "clone": aten.clone.default,
    "contiguous": aten.contiguous.default,
    "conv_transpose2d": aten.conv_transpose2d.input,
    "cos": aten.cos.default,
    "div": aten.div.Tensor,
    "exp": aten.exp.default,
    "expand": aten.expand.default,
    "flatten": aten.flatten.using_ints,
    "flip": aten.flip.default,
    "gather": aten.gather.default,
    "gelu": aten.gelu.default,
    "linear": aten.linear.default,
    "masked_fill": aten.masked_fill.Scalar,
    "matmul": aten.matmul.default,
    "mul": aten.mul.Tensor,
    "neg": aten.neg.default,
    "ones_like": aten.ones_like.default,
    "permute": aten.permute.default,
    "relu_": aten.relu_.default,
    "repeat": aten.repeat.default,
    "reshape": aten.reshape.default,
    "roll": aten.roll.default,
    "rsqrt": aten.rsqrt.default,
    "scaled_dot_product_attention": aten.scaled_dot_product_attention.default,
    "sigmoid": aten.sigmoid.default,
    "sign": aten.sign.default,
    "sin": aten.sin.default,
    "sqrt": aten.sqrt.default,
    "square": aten.square.default,
    "sub": aten.sub.Tensor,
    "t": aten.t.default,
    "tanh": aten.tanh.default,
    "transpose": aten.transpose.int,
    "triu": aten.triu.default,
    "unbind": aten.unbind.int,
    "unflatten": aten.unflatten.int,
    "unsqueeze": aten.unsqueeze.default,
    "view": aten.view.default,
    "zeros_like": aten.zeros_like.default,
}
# these tell numbers, and no operator is called
_FACTS = (
    Tensor.dim,
    Tensor.size,
    Tensor.numel,
    Tensor.is_floating_point,
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
    if training and running_mean is not None:
        raise NotPlainError("it changes its statistics")
    statistics = (weight, bias, running_mean, running_var, training, momentum, eps)
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


def _sum(
    tape: Tape, input: Tensor, dim: Any = None, keepdim: bool = False, **kwargs: Any
) -> Tensor:
    if dim is None:
        return tape.call(aten.sum.default, input, **kwargs)
    return tape.call(aten.sum.dim_IntList, input, dim, keepdim, **kwargs)


def _pad(
    tape: Tape, input: Tensor, pad: Any, mode: str = "constant", value: float | None = None
) -> Tensor:
    return tape.call(aten.pad.default, input, pad, mode, value)


def _cat(tape: Tape, tensors: Any, dim: int = 0) -> Tensor:
    return tape.call(aten.cat.default, list(tensors), dim)


def _stack(tape: Tape, tensors: Any, dim: int = 0) -> Tensor:
    return tape.call(aten.stack.default, list(tensors), dim)


def _squeeze(tape: Tape, input: Tensor, dim: Any = None) -> Tensor:
    if type(dim) is not int:
        raise NotPlainError("all dimensions of size 1 are dropped")
    return tape.call(aten.squeeze.dim, input, dim)


def _assert(tape: Tape, condition: Any, message: str = "") -> None:
    """Check what is known of sizes now, in both runs; inputs are held against these sizes later."""
    if not isinstance(condition, bool) or not condition:
        raise NotPlainError("it asserts what values decide, or what does not hold")


def _power(tape: Tape, input: Tensor, exponent: Any) -> Tensor:
    if type(exponent) not in (int, float):
        raise NotPlainError("a power of a tensor")
    return tape.call(aten.pow.Tensor_Scalar, input, exponent)


def _comparison(name: str) -> Callable[..., Tensor]:
    packet = getattr(aten, name)

    def call(tape: Tape, input: Tensor, other: Any) -> Tensor:
        overload = packet.Tensor if isinstance(other, Tensor) else packet.Scalar
        return tape.call(overload, input, other)

    return call


def _same(tape: Tape, input: Tensor) -> Tensor:
    return input


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
        F.interpolate: interpolate,
        torch.sum: _sum,
        Tensor.sum: _sum,
        torch.stack: _stack,
        Tensor.reshape_as: shaped_as(aten.reshape.default),
        Tensor.view_as: shaped_as(aten.view.default),
        Tensor.expand_as: shaped_as(aten.expand.default),
        Tensor.detach: _same,
        Tensor.type_as: lambda tape, input, other: to(tape, input, other.dtype),
        Tensor.new_zeros: new(aten.zeros.default),
        Tensor.new_ones: new(aten.ones.default),
        torch.full: full,
        torch._assert: _assert,
        torch.split: split,
        Tensor.split: method_split,
        torch.pow: _power,
        Tensor.pow: _power,
        Tensor.__pow__: _power,
        Tensor.to: to,
        Tensor.int: cast(torch.int32),
        Tensor.long: cast(torch.int64),
        Tensor.bool: cast(torch.bool),
        Tensor.float: cast(torch.float32),
        Tensor.device.__get__: device_of,
        torch.arange: arange,
        torch.ones: filled(aten.ones.default),
        torch.zeros: filled(aten.zeros.default),
        Tensor.__getitem__: item,
    }
    return table | own


FUNCTIONS = _table()
