"""Shape arithmetic becomes constants, for every size that the names of dimensions leave open."""

from __future__ import annotations

import numpy as np
import pytest

from inc_onnx.graph import Graph
from inc_onnx.model import OnnxModel
from inc_onnx.prepare import prepare
from inc_onnx.shapes import with_shapes
from inc_onnx.static_shapes import settle_shapes


def dim(build, x, place):
    """Return dimension ``place`` of ``x`` as a vector, like torch's exporter does."""
    shape = build.op("Shape", x)
    one = build.op("Gather", shape, build.constant(np.int64(place)), axis=0)
    return build.op("Unsqueeze", one, build.constant(np.array([0], np.int64)))


def split_heads(build, shape, heads=4):
    x = build.input("x", shape)
    count = build.constant(np.array([heads], np.int64))
    depth = build.op("Div", dim(build, x, 2), count)
    target = build.op("Concat", dim(build, x, 0), dim(build, x, 1), count, depth, axis=0)
    y = build.op("Reshape", x, target)
    scale = build.op("Sqrt", build.op("Cast", dim(build, y, 3), to=1))
    build.output(build.op("Div", y, scale), [None] * 4)
    return build.proto()


@pytest.mark.parametrize("shape", [["b", 5, 32], ["b", "s", 32]], ids=["batch", "batch and length"])
def test_split_into_heads_needs_no_arithmetic_and_keeps_its_function(net, shape):
    proto = split_heads(net(), shape)
    prepared = prepare(proto, None, threads=1)
    assert [node.op_type for node in prepared.proto.graph.node] == ["Reshape", "Div"]
    for batch in (1, 3):
        feeds = {"x": np.random.default_rng(1).normal(size=(batch, 5, 32)).astype(np.float32)}
        expected = OnnxModel(proto, threads=1).session.run(None, feeds)[0]
        np.testing.assert_array_equal(prepared.session.run(None, feeds)[0], expected)


def test_known_shape_becomes_a_constant(net):
    build = net()
    x = build.input("x", [2, 6])
    build.output(build.op("Reshape", x, build.op("Shape", build.op("Relu", x))), [2, 6])
    prepared = prepare(build.proto(), None)
    assert [node.op_type for node in prepared.proto.graph.node] == ["Reshape"]


def settled(proto):
    graph = Graph(with_shapes(proto))
    return settle_shapes(graph), [node.op_type for node in graph.nodes]


def test_target_with_two_open_dimensions_is_still_computed(net):
    build = net()
    x, target = build.input("x", ["a", "b"]), build.input("target", [3], 7)
    build.output(build.op("Reshape", x, target), [None] * 3)
    assert settled(build.proto()) == (False, ["Reshape"])


def test_target_whose_zero_means_zero_is_left_alone(net):
    build = net()
    x = build.input("x", ["batch", 4])
    build.output(build.op("Reshape", x, build.op("Shape", x), allowzero=1), [None] * 2)
    assert settled(build.proto()) == (False, ["Shape", "Reshape"])


def test_shape_that_the_caller_reads_stays(net):
    build = net()
    x = build.input("x", [2, 6])
    build.output(build.op("Shape", x), [2], 7)
    assert settled(build.proto()) == (False, ["Shape"])


def test_slice_of_known_dimensions_becomes_a_constant(net):
    build = net()
    x = build.input("x", ["batch", 4, 8])
    last, end = (build.constant(np.array([v], np.int64)) for v in (-1, 2**63 - 1))
    length = build.op("Slice", build.op("Shape", x), last, end)
    build.output(build.op("Mul", x, build.op("Cast", length, to=1)), ["batch", 4, 8])
    assert settled(build.proto()) == (True, ["Cast", "Mul"])
