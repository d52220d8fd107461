"""Rewriting transformers keeps the function and the names, and avoids what the runtime does slowly."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from inc_onnx.executed import optimized_graph
from inc_onnx.graph import Graph
from inc_onnx.model import OnnxModel
from inc_onnx.shapes import with_shapes
from inc_onnx.transformer import fuse

WIDTH = 16


def fused(proto):
    graph = Graph(with_shapes(copy.deepcopy(proto)))
    changed = fuse(graph)
    return OnnxModel(graph.proto(), threads=1), changed


def types(model):
    return [node.op_type for node in model.proto.graph.node]


def assert_same_function(proto, model, shape=(2, 5, WIDTH)):
    feeds = {"x": np.random.default_rng(1).normal(size=shape).astype(np.float32)}
    expected = OnnxModel(proto, threads=1).session.run(None, feeds)
    for ours, theirs in zip(model.session.run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def gelu(build, x, order="last", scaling="Div", half=0.5):
    root = build.constant(np.float32(2**0.5 if scaling == "Div" else 0.5**0.5))
    one, half = build.constant(np.float32(1)), build.constant(np.float32(half))
    erf = build.op("Add", build.op("Erf", build.op(scaling, x, root), name="the_erf"), one)
    if order == "last":
        return build.op("Mul", build.op("Mul", x, erf), half)
    if order == "second":
        return build.op("Mul", build.op("Mul", half, erf), x)
    return build.op("Mul", build.op("Mul", x, half), erf)


@pytest.mark.parametrize("scaling", ["Div", "Mul"])
@pytest.mark.parametrize("order", ["first", "second", "last"])
def test_exact_gelu_becomes_one_op_in_whatever_order_it_is_written(net, order, scaling):
    build = net()
    x = build.input("x", ["batch", 5, WIDTH])
    build.output(gelu(build, x, order, scaling), ["batch", 5, WIDTH])
    proto = build.proto()
    model, changed = fused(proto)
    assert changed
    assert types(model) == ["Gelu"]
    assert model.proto.graph.node[0].name == "the_erf"
    assert_same_function(proto, model)


def test_gelu_of_opset_20_is_the_standard_one(net):
    build = net(opset=20)
    x = build.input("x", ["batch", 5, WIDTH])
    build.output(gelu(build, x), ["batch", 5, WIDTH])
    model, _ = fused(build.proto())
    assert [node.domain for node in model.proto.graph.node] == [""]


def test_what_only_resembles_gelu_stays(net):
    build = net()
    x = build.input("x", ["batch", 5, WIDTH])
    build.output(gelu(build, x, half=0.4), ["batch", 5, WIDTH])
    model, changed = fused(build.proto())
    assert not changed
    assert "Erf" in types(model)


def test_gelu_whose_inside_is_read_elsewhere_stays(net):
    build = net()
    x = build.input("x", ["batch", 5, WIDTH])
    y = gelu(build, x)
    erf = next(node for node in build.nodes if node.op_type == "Erf")
    build.output(y, ["batch", 5, WIDTH])
    build.output(erf.output[0], ["batch", 5, WIDTH])
    _, changed = fused(build.proto())
    assert not changed


def residual(build, normalize):
    x = build.input("x", ["batch", 5, WIDTH])
    y = build.op("MatMul", x, build.matrix(WIDTH, WIDTH))
    build.output(normalize(build.op("Add", y, x, name="residual")), ["batch", 5, WIDTH])
    return build.proto()


def one_op(build):
    ones = build.constant(np.ones(WIDTH, np.float32))
    zeros = build.constant(np.zeros(WIDTH, np.float32))
    return lambda y: build.op("LayerNormalization", y, ones, zeros, axis=-1)


def many_ops(build):
    ones = build.constant(np.ones(WIDTH, np.float32))
    zeros = build.constant(np.zeros(WIDTH, np.float32))
    two, tiny = build.constant(np.float32(2)), build.constant(np.float32(1e-5))

    def normalize(y):
        centered = build.op("Sub", y, build.op("ReduceMean", y, axes=[-1]))
        variance = build.op("ReduceMean", build.op("Pow", centered, two), axes=[-1])
        deviation = build.op("Sqrt", build.op("Add", variance, tiny))
        return build.op("Add", build.op("Mul", build.op("Div", centered, deviation), ones), zeros)

    return normalize


@pytest.mark.parametrize("form", [one_op, many_ops])
def test_runtime_does_not_fuse_residual_and_normalization(net, form):
    build = net()
    proto = residual(build, form(build))
    before = {node.op_type for node in optimized_graph(OnnxModel(proto, threads=1)).node}
    model, changed = fused(proto)
    after = {node.op_type for node in optimized_graph(model).node}
    # the first line fails on the day that the rewrite is no longer needed
    assert "SkipLayerNormalization" in before
    assert changed and "SkipLayerNormalization" not in after
    assert "LayerNormalization" in after
    assert_same_function(proto, model)


def test_residual_keeps_its_name(net):
    build = net()
    model, _ = fused(residual(build, one_op(build)))
    assert next(n for n in model.proto.graph.node if n.op_type == "Sum").name == "residual"


def test_addition_without_normalization_stays(net):
    build = net()
    x = build.input("x", ["batch", 5, WIDTH])
    build.output(build.op("Relu", build.op("Add", x, x)), ["batch", 5, WIDTH])
    _, changed = fused(build.proto())
    assert not changed


def test_bias_before_a_normalization_stays_an_addition(net):
    build = net()
    x = build.input("x", ["batch", 5, WIDTH])
    bias = build.constant(np.ones(WIDTH, np.float32))
    y = build.op("Add", build.op("MatMul", x, build.matrix(WIDTH, WIDTH)), bias)
    build.output(one_op(build)(y), ["batch", 5, WIDTH])
    _, changed = fused(build.proto())
    assert not changed


def masked_softmax(build, mask_shape, hidden=-np.inf, keep=False, follow="Softmax"):
    x = build.input("x", ["batch", 5, WIDTH])
    mask = build.constant(build.rng.random(mask_shape) < 0.3)
    values = [build.constant(np.float32(hidden)), x]
    y = build.op("Where", mask, *(values[::-1] if keep else values), name="masking")
    build.output(build.op(follow, y), ["batch", 5, WIDTH])
    return build.proto()


@pytest.mark.parametrize("keep", [True, False], ids=["mask keeps", "mask hides"])
@pytest.mark.parametrize("hidden", [-np.inf, np.finfo(np.float32).min])
def test_mask_of_attention_is_added(net, hidden, keep):
    proto = masked_softmax(net(), (5, WIDTH), hidden, keep)
    model, changed = fused(proto)
    assert changed
    assert types(model) == ["Where", "Add", "Softmax"]
    assert model.proto.graph.node[1].name == "masking"
    assert_same_function(proto, model)


@pytest.mark.parametrize(
    "options",
    [{"hidden": -1e4}, {"follow": "Tanh"}, {"mask_shape": (2, 5, WIDTH)}],
    ids=["a number that scores can reach", "no softmax", "a mask as large as the scores"],
)
def test_other_choices_stay(net, options):
    _, changed = fused(masked_softmax(net(), **{"mask_shape": (5, WIDTH), **options}))
    assert not changed
