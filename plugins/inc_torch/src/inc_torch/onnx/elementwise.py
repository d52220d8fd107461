"""Elementwise ops, comparisons, and reductions along dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import fx

from inc_core.errors import UnsupportedModelError
from inc_torch.naming import op_name
from inc_torch.onnx.translation import Translate, Translation, numpy_type

__all__ = ["TABLE", "activation", "gelu"]

aten = torch.ops.aten


def gelu(t: Translation, x: str, approximate: str = "none") -> str:
    """Write GELU from its definition, which runtimes fuse; ONNX has it as an op from opset 20 only."""
    call, number = t.build.call, _numbers(t)
    if approximate == "tanh":
        cube = call("Mul", call("Mul", x, x), x)
        inner = call("Add", x, call("Mul", cube, number(0.044715)))
        bent = call("Tanh", call("Mul", inner, number(math.sqrt(2.0 / math.pi))))
    else:
        bent = call("Erf", call("Div", x, number(math.sqrt(2.0))))
    return call("Mul", call("Mul", x, call("Add", bent, number(1.0))), number(0.5))


def activation(t: Translation, x: str, name: str, numbers: Any = (), algorithm: str = "") -> str:
    """Write an epilogue of ``inc_torch.static.epilogue``."""
    call, number = t.build.call, _numbers(t)
    if name == "none":
        return x
    if name == "relu":
        return call("Relu", x)
    if name == "hardtanh":
        return call("Clip", x, number(numbers[0]), number(numbers[1]))
    if name == "hardswish":
        return call("HardSwish", x)
    if name == "swish":
        return call("Mul", x, call("Sigmoid", x))
    if name == "leaky_relu":
        return call("LeakyRelu", x, alpha=float(numbers[0]))
    if name == "tanh":
        return call("Tanh", x)
    assert name == "gelu", name  # the table of epilogues has no other
    return gelu(t, x, algorithm)


def _numbers(t: Translation) -> Callable[[float], str]:
    return lambda value: t.build.constant(np.float32(value))


def _unary(op: str, **attributes: Any) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        return t.build.call(op, t.tensor(node.args[0], t.dtype(node)), **attributes)

    return translate


def _epilogue(name: str, *parameters: str) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        given = t.arguments(node)
        numbers = [given[parameter] for parameter in parameters]
        return activation(t, t.tensor(node.args[0]), name, numbers)

    return translate


def _binary(op: str) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        dtype = t.dtype(node)
        one, other = (t.tensor(argument, dtype) for argument in node.args[:2])
        alpha = t.arguments(node).get("alpha", 1)
        if alpha != 1:
            other = t.build.call("Mul", other, t.tensor(alpha, dtype))
        return t.build.call(op, one, other)

    return translate


def _reversed_subtraction(t: Translation, node: fx.Node) -> str:
    given, dtype = t.arguments(node), t.dtype(node)
    x = t.tensor(node.args[0], dtype)
    if given.get("alpha", 1) != 1:
        x = t.build.call("Mul", x, t.tensor(given["alpha"], dtype))
    return t.build.call("Sub", t.tensor(node.args[1], dtype), x)


def _divide_whole(t: Translation, node: fx.Node) -> str:
    """Divide and round: to the lower number, or towards 0."""
    mode, dtype = node.kwargs.get("rounding_mode", "floor"), t.dtype(node)
    assert dtype is not None
    one, other = (t.tensor(argument, torch.float64) for argument in node.args[:2])
    quotient = t.build.call("Div", one, other)
    if mode == "trunc":
        sign = t.build.call("Sign", quotient)
        quotient = t.build.call("Mul", sign, t.build.call("Floor", t.build.call("Abs", quotient)))
    elif mode == "floor":
        quotient = t.build.call("Floor", quotient)
    return t.cast(quotient, dtype)


def _comparison(op: str, negate: bool = False) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        dtype = t.result_type(*node.args[:2])
        found = t.build.call(op, *(t.tensor(argument, dtype) for argument in node.args[:2]))
        return t.build.call("Not", found) if negate else found

    return translate


def _logic(op: str) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        return t.build.call(op, *(t.tensor(argument, torch.bool) for argument in node.args))

    return translate


def _bits(op: str) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        if t.dtype(node) != torch.bool:
            raise UnsupportedModelError(
                f"{op_name(node)!r}: ONNX opset 17 has no such op on the bits of integers"
            )
        return _logic(op)(t, node)

    return translate


def _where(t: Translation, node: fx.Node) -> str:
    condition, one, other = node.args
    dtype = t.dtype(node)
    return t.build.call(
        "Where", t.tensor(condition, torch.bool), t.tensor(one, dtype), t.tensor(other, dtype)
    )


def _masked_fill(t: Translation, node: fx.Node) -> str:
    x, mask, value = node.args
    dtype = t.dtype(node)
    return t.build.call(
        "Where", t.tensor(mask, torch.bool), t.tensor(value, dtype), t.tensor(x, dtype)
    )


def _clamp(t: Translation, node: fx.Node) -> str:
    given, dtype = t.arguments(node), t.dtype(node)
    limits = ["" if given.get(n) is None else t.tensor(given[n], dtype) for n in ("min", "max")]
    return t.build.call("Clip", t.tensor(node.args[0], dtype), *limits)


def _rsqrt(t: Translation, node: fx.Node) -> str:
    return t.build.call("Reciprocal", t.build.call("Sqrt", t.tensor(node.args[0], t.dtype(node))))


def _square(t: Translation, node: fx.Node) -> str:
    x = t.tensor(node.args[0])
    return t.build.call("Mul", x, x)


def _gelu(t: Translation, node: fx.Node) -> str:
    return gelu(t, t.tensor(node.args[0]), t.arguments(node)["approximate"])


def _elu(t: Translation, node: fx.Node) -> str:
    return t.build.call("Elu", t.tensor(node.args[0]), alpha=float(t.arguments(node)["alpha"]))


def _softplus(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    x, beta = t.tensor(node.args[0]), t.tensor(float(given["beta"]))
    return t.build.call("Div", t.build.call("Softplus", t.build.call("Mul", x, beta)), beta)


def _cast(t: Translation, node: fx.Node) -> str:
    dtype = t.dtype(node)
    return t.tensor(node.args[0], dtype)


def _softmax(op: str) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        x = t.tensor(node.args[0], t.dtype(node))
        return t.build.call(op, x, axis=int(node.args[1]))

    return translate


def _reduce(op: str, axes_are_input: bool = False) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        given = t.arguments(node)
        dim, keep = given.get("dim"), int(bool(given.get("keepdim", False)))
        axes = [dim] if isinstance(dim, int) else list(dim or range(t.rank(node.args[0])))
        x = t.tensor(node.args[0], t.dtype(node))
        if axes_are_input:
            return t.build.call(op, x, t.build.integers(axes), keepdims=keep)
        return t.build.call(op, x, axes=axes, keepdims=keep)

    return translate


def _argmax(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    x, dim = t.tensor(node.args[0]), given["dim"]
    if dim is None:
        x, dim = t.build.call("Reshape", x, t.build.integers([-1])), 0
    return t.build.call("ArgMax", x, axis=int(dim), keepdims=int(bool(given["keepdim"])))


def _cumulative_sum(t: Translation, node: fx.Node) -> str:
    axis = t.build.constant(np.int64(node.args[1]))
    return t.build.call("CumSum", t.tensor(node.args[0], t.dtype(node)), axis)


def _filled_like(value: float | None = None) -> Translate:
    def translate(t: Translation, node: fx.Node) -> str:
        dtype = t.dtype(node)
        assert dtype is not None
        fill = t.value(node.args[1]) if value is None else value
        constant = t.build.constant(np.asarray(fill, numpy_type(dtype)))
        return t.build.call("Expand", constant, t.build.call("Shape", t.tensor(node.args[0])))

    return translate


def _add_product(t: Translation, node: fx.Node) -> str:
    dtype, scale = t.dtype(node), t.arguments(node)["value"]
    x, one, other = (t.tensor(argument, dtype) for argument in node.args[:3])
    product = t.build.call("Mul", one, other)
    if scale != 1:
        product = t.build.call("Mul", product, t.tensor(scale, dtype))
    return t.build.call("Add", x, product)


def _mish(t: Translation, node: fx.Node) -> str:
    x = t.tensor(node.args[0])
    return t.build.call("Mul", x, t.build.call("Tanh", t.build.call("Softplus", x)))


def _prelu(t: Translation, node: fx.Node) -> str:
    """Let slopes of channels, which are the second dimension, broadcast from the right."""
    values = t.array(node.args[1])
    if values is None:
        raise UnsupportedModelError(f"{op_name(node)!r}: its slopes are computed")
    spread = values.reshape(-1, *[1] * max(t.rank(node.args[0]) - 2, 0))
    slopes = t.build.constant(spread, t.stem(node.args[1]))
    return t.build.call("PRelu", t.tensor(node.args[0]), slopes)


def _length(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    if given["ord"] not in (1, 2):
        raise UnsupportedModelError(f"{op_name(node)!r}: ONNX has no norm of order {given['ord']}")
    return _reduce(f"ReduceL{int(given['ord'])}")(t, node)


_COMPARISONS: Mapping[str, tuple[str, bool]] = {
    "eq": ("Equal", False), "ne": ("Equal", True), "lt": ("Less", False),
    "le": ("LessOrEqual", False), "gt": ("Greater", False), "ge": ("GreaterOrEqual", False),
}  # fmt: skip

TABLE: Mapping[Any, Translate] = {
    **{
        getattr(getattr(aten, name), overload): _comparison(op, negate)
        for name, (op, negate) in _COMPARISONS.items()
        for overload in ("Scalar", "Tensor")
    },
    aten.relu.default: _epilogue("relu"),
    aten.relu6.default: lambda t, node: activation(t, t.tensor(node.args[0]), "hardtanh", (0, 6)),
    aten.hardtanh.default: _epilogue("hardtanh", "min_val", "max_val"),
    aten.hardswish.default: _epilogue("hardswish"),
    aten.hardsigmoid.default: _unary("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    aten.silu.default: _epilogue("swish"),
    aten.leaky_relu.default: _epilogue("leaky_relu", "negative_slope"),
    aten.gelu.default: _gelu,
    aten.elu.default: _elu,
    aten.softplus.default: _softplus,
    aten.sigmoid.default: _unary("Sigmoid"),
    aten.tanh.default: _unary("Tanh"),
    aten.erf.default: _unary("Erf"),
    aten.selu.default: _unary("Selu"),
    aten.mish.default: _mish,
    aten.prelu.default: _prelu,
    aten.sign.default: _unary("Sign"),
    aten.exp.default: _unary("Exp"),
    aten.log.default: _unary("Log"),
    aten.sqrt.default: _unary("Sqrt"),
    aten.rsqrt.default: _rsqrt,
    aten.square.default: _square,
    aten.neg.default: _unary("Neg"),
    aten.abs.default: _unary("Abs"),
    aten.floor.default: _unary("Floor"),
    aten.ceil.default: _unary("Ceil"),
    aten.round.default: _unary("Round"),
    aten.sin.default: _unary("Sin"),
    aten.cos.default: _unary("Cos"),
    aten.reciprocal.default: _unary("Reciprocal"),
    aten.addcmul.default: _add_product,
    aten.add.Tensor: _binary("Add"),
    aten.add.Scalar: _binary("Add"),
    aten.sub.Tensor: _binary("Sub"),
    aten.sub.Scalar: _binary("Sub"),
    aten.rsub.Scalar: _reversed_subtraction,
    aten.rsub.Tensor: _reversed_subtraction,
    aten.mul.Tensor: _binary("Mul"),
    aten.mul.Scalar: _binary("Mul"),
    aten.div.Tensor: _binary("Div"),
    aten.div.Scalar: _binary("Div"),
    aten.div.Tensor_mode: _divide_whole,
    aten.div.Scalar_mode: _divide_whole,
    aten.floor_divide.default: _divide_whole,
    aten.floor_divide.Scalar: _divide_whole,
    aten.pow.Tensor_Scalar: _binary("Pow"),
    aten.pow.Tensor_Tensor: _binary("Pow"),
    aten.maximum.default: _binary("Max"),
    aten.minimum.default: _binary("Min"),
    aten.logical_and.default: _logic("And"),
    aten.logical_or.default: _logic("Or"),
    aten.logical_not.default: _logic("Not"),
    aten.bitwise_and.Tensor: _bits("And"),
    aten.bitwise_or.Tensor: _bits("Or"),
    aten.bitwise_not.default: _bits("Not"),
    aten.__and__.Tensor: _bits("And"),
    aten.__or__.Tensor: _bits("Or"),
    aten.where.self: _where,
    aten.where.ScalarSelf: _where,
    aten.where.ScalarOther: _where,
    aten.masked_fill.Scalar: _masked_fill,
    aten.masked_fill.Tensor: _masked_fill,
    aten.clamp.default: _clamp,
    aten.clamp_min.default: _clamp,
    aten.clamp_max.default: _clamp,
    aten.to.dtype: _cast,
    aten.to.dtype_layout: _cast,
    aten.to.device: _cast,
    aten._to_copy.default: _cast,
    aten.type_as.default: _cast,
    aten.softmax.int: _softmax("Softmax"),
    aten._softmax.default: _softmax("Softmax"),
    aten.log_softmax.int: _softmax("LogSoftmax"),
    aten._log_softmax.default: _softmax("LogSoftmax"),
    aten.mean.dim: _reduce("ReduceMean"),
    aten.mean.default: _reduce("ReduceMean"),
    aten.sum.dim_IntList: _reduce("ReduceSum", axes_are_input=True),
    aten.sum.default: _reduce("ReduceSum", axes_are_input=True),
    aten.logsumexp.default: _reduce("ReduceLogSumExp"),
    aten.linalg_vector_norm.default: _length,
    aten.amax.default: _reduce("ReduceMax"),
    aten.amin.default: _reduce("ReduceMin"),
    aten.argmax.default: _argmax,
    aten.cumsum.default: _cumulative_sum,
    aten.full_like.default: _filled_like(),
    aten.zeros_like.default: _filled_like(0.0),
    aten.ones_like.default: _filled_like(1.0),
}
