"""Layers in float: convolution, products, normalization, pooling, attention, embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from inc_core.errors import UnsupportedModelError
from inc_torch.naming import op_name
from inc_torch.onnx.translation import Translate, Translation

__all__ = ["TABLE", "convolution_attributes"]

aten = torch.ops.aten


def convolution_attributes(
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> dict[str, Any]:
    """Return what a convolution of ONNX is told; numbers are spread over the kernel's dimensions."""
    rank = len(kernel)
    return {
        "kernel_shape": list(kernel),
        "strides": _spread(stride, rank),
        "pads": _spread(padding, rank) * 2,
        "dilations": _spread(dilation, rank),
        "group": int(groups),
    }


def _spread(value: int | Sequence[int], rank: int) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * rank if len(values) == 1 else values


def _convolution(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    weight = given["weight"]
    kernel = [int(size) for size in weight.meta["val"].shape[2:]]
    padding = given["padding"]
    geometry = convolution_attributes(
        kernel,
        given["stride"],
        [0] if isinstance(padding, str) else padding,
        given["dilation"],
        given["groups"],
    )
    if padding == "same":
        reach = [one * (size - 1) for one, size in zip(geometry["dilations"], kernel, strict=True)]
        geometry["pads"] = [one // 2 for one in reach] + [one - one // 2 for one in reach]
    return t.build.call("Conv", *_operands(t, node, "input", "weight", "bias"), **geometry)


def _transposed_convolution(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    kernel = [int(size) for size in given["weight"].meta["val"].shape[2:]]
    geometry = convolution_attributes(
        kernel, given["stride"], given["padding"], given["dilation"], given["groups"]
    )
    more = _spread(given["output_padding"], len(kernel))
    operands = _operands(t, node, "input", "weight", "bias")
    return t.build.call("ConvTranspose", *operands, **geometry, output_padding=more)


def _operands(t: Translation, node: fx.Node, *names: str) -> list[str]:
    given = t.arguments(node)
    dtype = t.dtype(node)
    return [t.tensor(given[name], dtype) for name in names if given[name] is not None]


def _linear(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    x, weight, bias = given["input"], given["weight"], given["bias"]
    if t.rank(x) == 2 and bias is not None:
        return t.build.call("Gemm", *_operands(t, node, "input", "weight", "bias"), transB=1)
    matrix = t.build.call("Transpose", t.tensor(weight, t.dtype(node)), perm=[1, 0])
    product = t.build.call("MatMul", t.tensor(x), matrix)
    return product if bias is None else t.build.call("Add", product, t.tensor(bias, t.dtype(node)))


def _product(t: Translation, node: fx.Node) -> str:
    dtype = t.dtype(node)
    return t.build.call("MatMul", *(t.tensor(one, dtype) for one in node.args[:2]))


def _added_product(t: Translation, node: fx.Node) -> str:
    given, dtype = t.arguments(node), t.dtype(node)
    addend, one, other = (t.tensor(argument, dtype) for argument in node.args[:3])
    product = t.build.call("MatMul", one, other)
    if given["alpha"] != 1:
        product = t.build.call("Mul", product, t.tensor(given["alpha"], dtype))
    if given["beta"] != 1:
        addend = t.build.call("Mul", addend, t.tensor(given["beta"], dtype))
    return t.build.call("Add", addend, product)


def _embedding(t: Translation, node: fx.Node) -> str:
    weight, places = node.args[:2]
    return t.build.call("Gather", t.tensor(weight), t.tensor(places), axis=0)


def _layer_norm(t: Translation, node: fx.Node) -> str:
    given, dtype = t.arguments(node), t.dtype(node)
    shape, weight, bias = given["normalized_shape"], given["weight"], given["bias"]
    scale = (
        t.build.constant(np.ones(shape, np.float32)) if weight is None else t.tensor(weight, dtype)
    )
    rest = [] if bias is None else [t.tensor(bias, dtype)]
    return t.build.call(
        "LayerNormalization",
        t.tensor(given["input"], dtype),
        scale,
        *rest,
        axis=-len(shape),
        epsilon=float(given["eps"]),
    )


def _batch_norm(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    if given["running_mean"] is None:
        raise UnsupportedModelError(
            f"{op_name(node)!r} normalizes by the batch itself, for it has no running statistics; ONNX has "
            "no such operator"
        )
    channels = given["running_mean"].meta["val"].shape[0]
    weight, bias = (
        t.build.constant(np.full(channels, filling, np.float32))
        if given[name] is None
        else t.tensor(given[name])
        for name, filling in (("weight", 1.0), ("bias", 0.0))
    )
    statistics = (t.tensor(given["running_mean"]), t.tensor(given["running_var"]))
    operands = (t.tensor(given["input"]), weight, bias, *statistics)
    return t.build.call("BatchNormalization", *operands, epsilon=float(given["eps"]))


def _group_norm(t: Translation, node: fx.Node) -> str:
    """Normalize groups as channels of their own, then scale and shift the channels."""
    given, rank = t.arguments(node), t.rank(node)
    groups, x = int(given["num_groups"]), t.tensor(given["input"])
    one, zero = (t.build.constant(np.full(groups, value, np.float32)) for value in (1.0, 0.0))
    grouped = t.build.call("Reshape", x, t.build.integers([0, groups, -1]))
    normal = t.build.call("InstanceNormalization", grouped, one, zero, epsilon=float(given["eps"]))
    normal = t.build.call("Reshape", normal, t.build.call("Shape", x))
    for op, name in (("Mul", "weight"), ("Add", "bias")):
        if given[name] is not None:
            values = t.array(given[name])
            assert values is not None
            shaped = t.build.constant(values.reshape(-1, *[1] * (rank - 2)), t.stem(given[name]))
            normal = t.build.call(op, normal, shaped)
    return normal


def _instance_norm(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    if not given["use_input_stats"]:
        raise UnsupportedModelError(f"{op_name(node)!r} normalizes by running statistics")
    channels = node.args[0].meta["val"].shape[1]
    weight, bias = (
        t.build.constant(np.full(channels, filling, np.float32))
        if given[name] is None
        else t.tensor(given[name])
        for name, filling in (("weight", 1.0), ("bias", 0.0))
    )
    operands = (t.tensor(given["input"]), weight, bias)
    return t.build.call("InstanceNormalization", *operands, epsilon=float(given["eps"]))


def _max_pool(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    kernel = _spread(given["kernel_size"], t.rank(node) - 2)
    return t.build.call("MaxPool", t.tensor(node.args[0]), **_window(given, kernel))


def _average_pool(t: Translation, node: fx.Node) -> str:
    given = t.arguments(node)
    if given.get("divisor_override") is not None:
        raise UnsupportedModelError(f"{op_name(node)!r}: ONNX has no divisor_override")
    kernel = _spread(given["kernel_size"], t.rank(node) - 2)
    window = _window(given, kernel)
    window.pop("dilations")
    counted = int(bool(given["count_include_pad"]))
    return t.build.call("AveragePool", t.tensor(node.args[0]), count_include_pad=counted, **window)


def _window(given: Mapping[str, Any], kernel: list[int]) -> dict[str, Any]:
    rank = len(kernel)
    return {
        "kernel_shape": kernel,
        "strides": _spread(given["stride"] or kernel, rank),
        "pads": _spread(given["padding"], rank) * 2,
        "dilations": _spread(given.get("dilation", 1), rank),
        "ceil_mode": int(bool(given["ceil_mode"])),
    }


def _global_average(t: Translation, node: fx.Node) -> str:
    if any(size != 1 for size in node.args[1]):
        raise UnsupportedModelError(
            f"{op_name(node)!r}: ONNX has adaptive pooling to a size of 1 only, this is to "
            f"{list(node.args[1])}"
        )
    return t.build.call("GlobalAveragePool", t.tensor(node.args[0]))


def _attention(t: Translation, node: fx.Node) -> str:
    """Write attention as two products and a softmax, which runtimes fuse."""
    given, call = t.arguments(node), t.build.call
    if given.get("enable_gqa"):
        raise UnsupportedModelError(f"{op_name(node)!r}: grouped heads have no translation to ONNX")
    query, key, value = (t.tensor(given[name]) for name in ("query", "key", "value"))
    rank, width = t.rank(given["key"]), t.width(given["query"])
    scale = 1.0 / math.sqrt(width) if given.get("scale") is None else given["scale"]
    order = [*range(rank - 2), rank - 1, rank - 2]
    scores = call("MatMul", query, call("Transpose", key, perm=order))
    scores = call("Mul", scores, t.tensor(float(scale)))
    mask = given["attn_mask"]
    if given["is_causal"]:
        scores = _masked(t, scores, _causal(t, scores))
    elif mask is not None and t.dtype(mask) == torch.bool:
        scores = _masked(t, scores, t.tensor(mask))
    elif mask is not None:
        scores = call("Add", scores, t.tensor(mask, torch.float32))
    return call("MatMul", call("Softmax", scores, axis=-1), value)


def _causal(t: Translation, scores: str) -> str:
    """Return which places may be looked at: none behind one's own."""
    shape = t.build.call("Slice", t.build.call("Shape", scores), *map(t.vector, (-2, 2**31)))
    ones = t.build.call("Expand", t.tensor(1.0), shape)
    return t.cast(t.build.call("Trilu", ones, upper=0), torch.bool)


def _masked(t: Translation, scores: str, mask: str) -> str:
    # the lowest number in place of an infinity: a row without any place gives no NaN
    lowest = t.build.constant(np.float32(np.finfo(np.float32).min))
    return t.build.call("Where", mask, scores, lowest)


TABLE: Mapping[Any, Translate] = {
    aten.conv1d.default: _convolution,
    aten.conv1d.padding: _convolution,
    aten.conv2d.default: _convolution,
    aten.conv2d.padding: _convolution,
    aten.conv3d.default: _convolution,
    aten.conv_transpose1d.default: _transposed_convolution,
    aten.conv_transpose2d.input: _transposed_convolution,
    aten.linear.default: _linear,
    aten.matmul.default: _product,
    aten.bmm.default: _product,
    aten.mm.default: _product,
    aten.addmm.default: _added_product,
    aten.baddbmm.default: _added_product,
    aten.embedding.default: _embedding,
    aten.layer_norm.default: _layer_norm,
    aten.batch_norm.default: _batch_norm,
    aten.group_norm.default: _group_norm,
    aten.instance_norm.default: _instance_norm,
    aten.max_pool3d.default: _max_pool,
    aten.avg_pool3d.default: _average_pool,
    aten.adaptive_avg_pool3d.default: _global_average,
    aten.max_pool1d.default: _max_pool,
    aten.max_pool2d.default: _max_pool,
    aten.avg_pool1d.default: _average_pool,
    aten.avg_pool2d.default: _average_pool,
    aten.adaptive_avg_pool1d.default: _global_average,
    aten.adaptive_avg_pool2d.default: _global_average,
    aten.scaled_dot_product_attention.default: _attention,
}
