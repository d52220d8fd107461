"""The ops of the toy framework; the quantized ones accumulate in int32 like real kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.errors import DataError
from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.testing.toy.model import ToyModel, ToyNode

__all__ = ["feeds_of", "run"]

Array = npt.NDArray[Any]


def run(
    model: ToyModel, feeds: Mapping[str, Array], tap: Callable[[str, Array], None] | None = None
) -> tuple[Array, ...]:
    """Run a model on checked feeds.

    Args:
        model: Float or quantized.
        feeds: Float32 ``(batch, features)`` by input name.
        tap: Told the name and value of every tensor, model inputs included.

    Returns:
        The outputs, float32, in the order of ``model.outputs``.
    """
    values = dict(feeds)
    for node in model.nodes:
        values[node.name] = _run_node(node, [values[name] for name in node.inputs])
    if tap is not None:
        for name, value in values.items():
            tap(name, value)
    return tuple(values[name] for name in model.outputs)


def feeds_of(model: ToyModel, inputs: Any) -> dict[str, Array]:
    """Return one batch as float32 arrays by input name.

    Args:
        model: Says which inputs there are.
        inputs: An array, a tuple or list of arrays, or a mapping from input name to array.

    Raises:
        DataError: If names, number, shapes or dtypes do not fit the model.
    """
    named = _named(model, inputs)
    if set(named) != set(model.inputs):
        raise DataError(
            f"the model has the inputs {list(model.inputs)!r}, received {list(named)!r}; "
            "name each of them"
        )
    feeds = {name: _checked(name, named[name], width) for name, width in model.inputs.items()}
    sizes = {name: len(array) for name, array in feeds.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"inputs of one batch differ in length: {sizes!r}")
    return feeds


def _named(model: ToyModel, inputs: Any) -> Mapping[str, Any]:
    if isinstance(inputs, Mapping):
        return inputs
    arrays = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if len(arrays) != len(model.inputs):
        raise DataError(
            f"the model has {len(model.inputs)} input(s) {list(model.inputs)!r}, "
            f"received {len(arrays)} array(s)"
        )
    return dict(zip(model.inputs, arrays, strict=True))


def _checked(name: str, value: Any, width: int) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"input {name!r} must be numbers, received dtype {array.dtype}")
    if array.ndim != 2 or array.shape[1] != width:
        raise DataError(
            f"input {name!r} must have shape (batch, {width}), received {array.shape!r}"
        )
    return array.astype(np.float32)


def _run_node(node: ToyNode, inputs: list[Array]) -> Array:
    if node.type == "Linear":
        return _LINEAR[node.config.mode](node, inputs[0])
    if node.type == "Relu":
        return np.maximum(inputs[0], np.float32(0))
    if node.type == "Add":
        return np.add(inputs[0], inputs[1])
    return np.multiply(inputs[0], node.arrays["factor"])


def _linear_float(node: ToyNode, x: Array) -> Array:
    return np.add(x @ node.arrays["weight"].T, node.arrays["bias"])


def _linear_static(node: ToyNode, x: Array) -> Array:
    return _linear_integer(node, x, node.qparams["input"])


def _linear_dynamic(node: ToyNode, x: Array) -> Array:
    assert node.config.activation is not None
    lo, hi = np.asarray(x.min(initial=0)), np.asarray(x.max(initial=0))
    return _linear_integer(node, x, choose_qparams(lo, hi, node.config.activation))


def _linear_integer(node: ToyNode, x: Array, qparams: QParams) -> Array:
    q_weight = node.arrays["q_weight"].astype(np.int32)
    q_x = qparams.quantize(x).astype(np.int32) - qparams.zero_point
    accumulator = q_x @ q_weight.T  # int32: 255 * 127 * features stays below 2**31 up to 66,000
    scale = qparams.scale * node.qparams["weight"].scale.reshape(-1)
    return np.add(accumulator.astype(np.float32) * scale, node.arrays["bias"])


def _linear_weight_only(node: ToyNode, x: Array) -> Array:
    """Float arithmetic on weights that are stored as integers."""
    weight = node.qparams["weight"].dequantize(node.arrays["q_weight"])
    return np.add(x @ weight.T, node.arrays["bias"])


_LINEAR: Mapping[str, Callable[[ToyNode, Array], Array]] = {
    "fp32": _linear_float,
    "static": _linear_static,
    "dynamic": _linear_dynamic,
    "weight_only": _linear_weight_only,
}
