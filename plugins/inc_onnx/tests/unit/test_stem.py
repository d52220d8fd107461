"""The first conv of an image model runs in the runtime's fast kernel, and gives the same integers."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.quant.observers import MAX_ELEMENTS_PER_SAMPLE
from inc_core.quant.spec import TensorKey
from inc_onnx.kernels import conv as module


def stem(
    net, workbench, framework="onnxruntime", *, kernel=7, size=(16, 16), shared=False, **attributes
):
    build = net()
    x = build.input("x", ["batch", 3, *size])
    attributes = {"strides": [2, 2], "pads": [kernel // 2] * 4, **attributes}
    y = build.conv(x, 16, 3, kernel=kernel, **attributes)
    y = build.op("Relu", y)
    y = build.op("GlobalAveragePool", y)
    if shared:
        y = build.op("Add", y, build.op("ReduceMean", x, axes=[1, 2, 3]))
    build.output(build.op("Flatten", y), ["batch", 16])
    return workbench(framework).load(build.proto())


def batches(size=(16, 16)):
    rng = np.random.default_rng(5)
    return [{"x": rng.normal(size=(4, 3, *size)).astype(np.float32)} for _ in range(2)]


def conv_output(bench, model, batch):
    """Return what the conv gives, activation included, over all positions."""

    class Kept:
        needs_values, needs_channels, channel_axis = True, False, 1
        max_elements = MAX_ELEMENTS_PER_SAMPLE

        def update(self, array):
            self.array = array

        def update_reduced(self, *args, values, **kwargs):
            self.array = values

    kept = Kept()
    bench.adaptor.observe(model, [batch], {TensorKey("relu_1"): kept})
    return kept.array


@pytest.mark.parametrize("framework", ["onnxruntime", "onnxrt_qoperator"])
@pytest.mark.parametrize(
    "kernel, size, pads",
    [
        (7, (16, 16), [3, 3, 3, 3]),
        (7, (18, 16), [2, 3, 3, 2]),
        (5, (16, 20), [2, 2, 2, 2]),
        (5, (16, 16), [1, 2, 2, 1]),
        (6, (16, 16), [2, 2, 2, 2]),
        (7, (16, 16), [0, 0, 0, 0]),
        (7, (16, 16), [0, 1, 6, 5]),
    ],
)
def test_conv_over_blocks_of_pixels_gives_the_same_integers(
    net, workbench, monkeypatch, framework, kernel, size, pads
):
    data = batches(size)
    bench = stem(net, workbench, framework, kernel=kernel, size=size, pads=pads)
    folded = bench.quantize(data)
    assert "SpaceToDepth" in {node.op_type for node in folded.proto.graph.node}
    assert "QLinearConv" in bench.executed_types(folded)
    with monkeypatch.context() as patch:
        patch.setattr(module, "find_fold", lambda writer, node: None)
        plain = bench.quantize(data)
    assert "SpaceToDepth" not in {node.op_type for node in plain.proto.graph.node}
    np.testing.assert_array_equal(
        conv_output(bench, folded, data[0]), conv_output(bench, plain, data[0])
    )


@pytest.mark.parametrize(
    "reason, options",
    [
        ("stride", {"strides": [1, 1]}),
        ("dilations", {"dilations": [2, 2], "pads": [6] * 4}),
        ("odd-size", {"size": (16, 15)}),
        ("unknown-size", {"size": ("height", "width")}),
        ("small-kernel", {"kernel": 3}),
        ("another-reader", {"shared": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_convs_keep_their_pixels(net, workbench, reason, options):
    bench = stem(net, workbench, **options)
    quantized = bench.quantize(batches((16, 15) if reason == "odd-size" else (16, 16)))
    assert "SpaceToDepth" not in {node.op_type for node in quantized.proto.graph.node}


@pytest.mark.parametrize("kernel, padded", [(3, True), (5, True), (7, False)])
def test_a_channel_is_added_where_the_kernel_is_small(net, workbench, kernel, padded):
    bench = stem(net, workbench, kernel=kernel, size=("height", "width"))
    quantized = bench.quantize(batches())
    shapes = {w.shape[1] for w in bench.adaptor.integer_weights(quantized).values() if w.ndim == 4}
    assert shapes == {4 if padded else 3}


def test_conv_that_reads_integers_is_not_folded(net, workbench):
    build = net()
    y = build.op("Relu", build.conv(build.input("x", ["batch", 4, 16, 16]), 3, 4))
    y = build.conv(y, 16, 3, kernel=7, strides=[2, 2])
    build.output(y, ["batch", 16, 8, 8])
    bench = workbench().load(build.proto())
    rng = np.random.default_rng(5)
    quantized = bench.quantize([{"x": rng.normal(size=(4, 4, 16, 16)).astype(np.float32)}])
    assert "SpaceToDepth" not in {node.op_type for node in quantized.proto.graph.node}
