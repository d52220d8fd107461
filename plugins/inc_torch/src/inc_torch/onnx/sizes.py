"""Numbers that depend on the shapes of inputs: sizes of dimensions, and arithmetic with them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import fx

from inc_torch.onnx.builder import Size
from inc_torch.onnx.translation import Translate, Translation

__all__ = ["TABLE"]

aten = torch.ops.aten


def _size(t: Translation, node: fx.Node) -> Size:
    x, dim = node.args
    dim = dim % t.rank(x)
    shape = t.build.call("Shape", t.tensor(x), start=dim, end=dim + 1)
    return Size(t.build.call("Squeeze", shape))


def _numel(t: Translation, node: fx.Node) -> Size:
    return Size(t.build.call("Size", t.tensor(node.args[0])))


def _arithmetic(op: str, function: Callable[..., Any]) -> Translate:
    def translate(t: Translation, node: fx.Node) -> Any:
        values = [t.value(argument) for argument in node.args]
        if not any(isinstance(value, Size) for value in values):
            return function(*values)
        names = [
            value.name if isinstance(value, Size) else t.build.constant(np.int64(value))
            for value in values
        ]
        return Size(t.build.call(op, *names))

    return translate


def _item(t: Translation, node: fx.Node) -> Any:
    """Take one of several results."""
    return t.value(node.args[0])[node.args[1]]


# sizes are never negative, so that division rounds down either way
TABLE: Mapping[Any, Translate] = {
    aten.sym_size.int: _size,
    aten.sym_numel.default: _numel,
    operator.add: _arithmetic("Add", operator.add),
    operator.sub: _arithmetic("Sub", operator.sub),
    operator.mul: _arithmetic("Mul", operator.mul),
    operator.floordiv: _arithmetic("Div", operator.floordiv),
    operator.mod: _arithmetic("Mod", operator.mod),
    operator.neg: _arithmetic("Neg", operator.neg),
    torch.sym_max: _arithmetic("Max", max),
    torch.sym_min: _arithmetic("Min", min),
    operator.getitem: _item,
}
