"""Quantized ops: float ops between ``QuantizeLinear`` and ``DequantizeLinear``, which runtimes fuse.

Lowered graphs move zero points into biases where that is faster in PyTorch. Here every tensor gets its own
zero point back, so that all readers of a tensor agree with its writer on what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from inc_core.errors import UnsupportedModelError
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.spec import TensorSpec
from inc_torch.kernels import Activation
from inc_torch.kernels.packing import unpack_int8_weight
from inc_torch.naming import op_name
from inc_torch.onnx.elementwise import activation
from inc_torch.onnx.layers import convolution_attributes
from inc_torch.onnx.moving import pads
from inc_torch.onnx.translation import Translate, Translation
from inc_torch.static import ops

__all__ = ["TABLE"]

Array = np.ndarray[Any, Any]

# the sum of products needs room beside the bias in 32 bits
_BIAS_LIMIT = 2.0**30
_ASYMMETRIC = TensorSpec("uint8", "asym")
# of the epilogues of our dynamic kernel, under the names of static ones
_EPILOGUES = {
    Activation.NONE: ("none", ""),
    Activation.RELU: ("relu", ""),
    Activation.GELU: ("gelu", "none"),
    Activation.GELU_TANH: ("gelu", "tanh"),
    Activation.SILU: ("swish", ""),
}


@dataclass(frozen=True)
class _Scale:
    """Scale and zero point of one u8 tensor."""

    scale: float
    zero_point: int

    def range(self) -> tuple[float, float]:
        return -self.zero_point * self.scale, (255 - self.zero_point) * self.scale


def _scale_of(node: fx.Node, scale: float, zero_point: int) -> _Scale:
    """Return the quantization of what a node gives; what its reader was told, if it says nothing."""
    if "inc_scale" in node.meta:
        return _Scale(*node.meta["inc_scale"])
    if node.target is ops.quantize:
        return _Scale(*node.args[1:3])
    if node.target is ops.pad:
        return _Scale(scale, node.args[2])
    return _Scale(scale, zero_point)


def _parts(t: Translation, scale: _Scale) -> tuple[str, str]:
    return (
        t.build.constant(np.float32(scale.scale)),
        t.build.constant(np.uint8(scale.zero_point)),
    )


def _read(t: Translation, node: fx.Node, scale: _Scale) -> str:
    return t.build.call("DequantizeLinear", t.tensor(node), *_parts(t, scale))


def _round(t: Translation, name: str, scale: _Scale) -> str:
    return t.build.call("QuantizeLinear", name, *_parts(t, scale))


def _quantize(t: Translation, node: fx.Node) -> str:
    x, scale, zero_point = node.args[:3]
    return _round(t, t.tensor(x, torch.float32), _Scale(scale, zero_point))


def _dequantize(t: Translation, node: fx.Node) -> str:
    return _read(t, node.args[0], _Scale(*node.args[1:3]))


class _Layer:
    """A convolution or linear: its tensors with their own zero points, and its bias to match."""

    def __init__(self, t: Translation, node: fx.Node) -> None:
        self.t, self.node = t, node
        self.given = given = t.arguments(node)
        self.told = _Scale(given["x_scale"], given["x_zero_point"])
        self.x = _scale_of(given["q_x"], *vars(self.told).values())
        self.weight = t.array(given["q_weight"])
        self.w_scale = t.array(given["w_scale"])
        bias = t.array(given["bias"])
        self.bias = None if bias is None else bias.astype(np.float64)
        self._move(self._sums() * ((self.x.zero_point - self.told.zero_point) * self.told.scale))

    def result(self, other: _Scale | None = None) -> _Scale | None:
        """Return the quantization of the result; ``None`` for a float one."""
        given = self.given
        if other is not None:
            self._move((other.zero_point - given["other_zero_point"]) * other.scale)
        if given["out_scale"] is None:
            return None
        own = _scale_of(self.node, given["out_scale"], given["out_zero_point"])
        self._move((given["out_zero_point"] - own.zero_point) * own.scale)
        return own

    def _move(self, by: Any) -> None:
        if np.any(by):
            self.bias = (0.0 if self.bias is None else self.bias) + by + np.zeros(len(self.w_scale))

    def _sums(self) -> Array:
        total = self.weight.reshape(len(self.weight), -1).sum(1, dtype=np.int64)
        return self.w_scale.astype(np.float64) * total

    def fit_bias(self) -> None:
        """Coarsen the weights of channels whose bias would not fit into 32 bits.

        A dead channel has weights near 0 and so a tiny scale, but may well have a bias.
        """
        if self.bias is None:
            return
        needed = (np.abs(self.bias) / (self.x.scale * _BIAS_LIMIT)).astype(np.float32)
        wider = np.maximum(self.w_scale, needed)
        if np.array_equal(wider, self.w_scale):
            return
        factor = (self.w_scale / wider).reshape(-1, *[1] * (self.weight.ndim - 1))
        self.weight = np.rint(self.weight * factor).astype(np.int8)
        self.w_scale = wider

    def read_weight(self, transposed: bool = False) -> str:
        """Return the weight in float, from int8."""
        stem = self.t.stem(self.given["q_weight"])
        values = np.ascontiguousarray(self.weight.T) if transposed else self.weight
        return _stored(self.t, stem, values, self.w_scale, axis=1 if transposed else 0)

    def read_bias(self) -> list[str]:
        """Return the bias in float, from int32 of the scale of products; nothing if there is none."""
        if self.bias is None:
            return []
        scale = (self.x.scale * self.w_scale.astype(np.float64)).astype(np.float32)
        limit = 2.0 * _BIAS_LIMIT - 1
        integers = np.rint(self.bias / scale).clip(-limit, limit).astype(np.int32)
        stem = f"{self.t.stem(self.given['q_weight'])}_bias"
        return [_stored(self.t, stem, integers, scale, axis=0)]

    def finish(self, product: str, out: _Scale | None) -> str:
        """Write the epilogue, and round."""
        given = self.given
        name = activation(
            self.t, product, given["post"], given["post_args"], given.get("algorithm", "")
        )
        return name if out is None else _round(self.t, name, out)


def _stored(t: Translation, stem: str, integers: Array, scale: Array, axis: int) -> str:
    """Return integers in float; one scale for each index along ``axis``."""
    return t.build.call(
        "DequantizeLinear",
        t.build.constant(integers, stem),
        t.build.constant(scale, f"{stem}_scale"),
        t.build.constant(np.zeros(scale.shape, integers.dtype), f"{stem}_zero_point"),
        axis=axis,
    )


def _convolve(layer: _Layer) -> str:
    given = layer.given
    layer.fit_bias()
    geometry = convolution_attributes(
        layer.weight.shape[2:],
        given["stride"],
        given["padding"],
        given["dilation"],
        given["groups"],
    )
    operands = (_read(layer.t, given["q_x"], layer.x), layer.read_weight(), *layer.read_bias())
    return layer.t.build.call("Conv", *operands, **geometry)


def _convolution(t: Translation, node: fx.Node) -> str:
    layer = _Layer(t, node)
    out = layer.result()
    return layer.finish(_convolve(layer), out)


def _convolution_and_addition(t: Translation, node: fx.Node) -> str:
    """Write a convolution and an addition; runtimes want integers between them.

    PyTorch rounds after the addition only, so the range of what is between was never observed. Values that
    lead out of the result's range are clipped by it anyway: a range that holds all others loses nothing.
    """
    layer = _Layer(t, node)
    given = layer.given
    other = _scale_of(given["q_other"], given["other_scale"], given["other_zero_point"])
    out = layer.result(other)
    assert out is not None  # this op has no float result
    (low, high), (other_low, other_high) = out.range(), other.range()
    found = choose_qparams(low - other_high, high - other_low, _ASYMMETRIC)
    between = _Scale(float(found.scale), int(found.zero_point))
    rounded = _round(t, _convolve(layer), between)
    product = t.build.call("DequantizeLinear", rounded, *_parts(t, between))
    total = t.build.call("Add", product, _read(t, given["q_other"], other))
    return _round(t, t.build.call("Relu", total) if given["relu"] else total, out)


def _linear(t: Translation, node: fx.Node) -> str:
    layer = _Layer(t, node)
    out = layer.result()
    return layer.finish(_multiply(layer), out)


def _linear_and_addition(t: Translation, node: fx.Node) -> str:
    layer = _Layer(t, node)
    other = t.tensor(layer.given["other"], torch.float32)
    return t.build.call("Add", _multiply(layer), other)


def _multiply(layer: _Layer) -> str:
    t, x = layer.t, layer.given["q_x"]
    if t.rank(x) == 2 and layer.bias is not None:
        layer.fit_bias()
        operands = (_read(t, x, layer.x), layer.read_weight(), *layer.read_bias())
        return t.build.call("Gemm", *operands, transB=1)
    product = t.build.call("MatMul", _read(t, x, layer.x), layer.read_weight(transposed=True))
    if layer.bias is None:
        return product
    bias = layer.bias.astype(np.float32)
    stem = f"{t.stem(layer.given['q_weight'])}_bias"
    return t.build.call("Add", product, t.build.constant(bias, stem))


def _addition(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    operands = [
        _read(t, given[f"q_{one}"], _Scale(given[f"{one}_scale"], given[f"{one}_zero_point"]))
        for one in ("a", "b")
    ]
    total = t.build.call("Add", *operands)
    total = t.build.call("Relu", total) if given["relu"] else total
    if given["out_scale"] is None:
        return total
    return _round(t, total, _Scale(given["out_scale"], given["out_zero_point"]))


def _max_pool(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    return t.build.call(
        "MaxPool",
        t.tensor(given["q_x"]),
        kernel_shape=list(given["kernel"]),
        strides=list(given["stride"]),
        pads=list(given["padding"]) * 2,
        dilations=list(given["dilation"]),
        ceil_mode=int(given["ceil_mode"]),
    )


def _mean(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    read = _read(t, given["q_x"], _Scale(given["scale"], given["zero_point"]))
    average = t.build.call("GlobalAveragePool", read)
    if given["keep_dimensions"]:
        return average
    return t.build.call("Squeeze", average, t.build.integers([2, 3]))


def _pad(t: Translation, node: fx.Node) -> str:
    x, sides, value = node.args
    filling = t.build.constant(np.uint8(value))
    return t.build.call("Pad", t.tensor(x), t.build.integers(pads(sides, t.rank(x))), filling)


def _dynamic_linear(t: Translation, node: fx.Node) -> str:
    """Write an int8 weight; activations stay float, as they have no range to be rounded in."""
    given = t.arguments(node)
    packed, scale = t.array(given["packed"]), t.array(given["scales"])
    assert packed is not None and scale is not None
    rows = unpack_int8_weight(torch.from_numpy(packed), t.width(given["x"]), given["out_features"])
    weight = np.ascontiguousarray(rows.numpy().T)
    product = t.build.call(
        "MatMul",
        t.tensor(given["x"], torch.float32),
        _stored(t, t.stem(given["packed"]), weight, scale, axis=1),
    )
    if given["bias"] is not None:
        product = t.build.call("Add", product, t.tensor(given["bias"]))
    name, algorithm = _EPILOGUES[Activation(given["activation"])]
    return activation(t, product, name, (), algorithm)


def _refuse(t: Translation, node: fx.Node) -> str:
    names = [op_name(one) for one in node.graph.nodes if one.target is node.target]
    raise UnsupportedModelError(
        f"{len(names)} ops have weights of 4 bits or fewer in groups, which ONNX opset 17 cannot hold "
        f"({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}). Export to 'gptq' or "
        "'compressed-tensors', or quantize the ONNX model itself with approach weight_only."
    )


TABLE: Mapping[Any, Translate] = {
    ops.quantize: _quantize,
    ops.dequantize: _dequantize,
    ops.conv: _convolution,
    ops.conv_add: _convolution_and_addition,
    ops.linear: _linear,
    ops.linear_add: _linear_and_addition,
    ops.add: _addition,
    ops.max_pool2d: _max_pool,
    ops.mean: _mean,
    ops.pad: _pad,
    torch.ops.inc.dynamic_linear.default: _dynamic_linear,
    torch.ops.inc.int4_linear.default: _refuse,
}
