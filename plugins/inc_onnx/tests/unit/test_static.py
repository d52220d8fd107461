"""What the static kernels write, and what ONNX Runtime makes of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

FORMATS = ["onnxrt_qdq", "onnxrt_qoperator"]


def types(proto):
    return Counter(node.op_type for node in proto.graph.node)


@pytest.mark.parametrize("framework", FORMATS)
def test_runtime_computes_a_whole_cnn_in_integers(workbench, residual_model, images, framework):
    bench = workbench(framework).load(residual_model)
    executed = Counter(bench.executed_types(bench.quantize(images)))
    assert executed["QLinearConv"] == 6
    assert executed["QLinearAdd"] == executed["QGemm"] == 1
    assert not {"Conv", "Gemm", "Add", "Relu", "Clip"} & set(executed)
    assert executed["QuantizeLinear"] == 1
    assert executed["DequantizeLinear"] == 0  # QGemm gives floats itself


@pytest.mark.parametrize("framework", FORMATS)
def test_executed_finds_every_op_in_integers(workbench, residual_model, images, framework):
    bench = workbench(framework).load(residual_model)
    recipe = bench.best()
    quantized = bench.quantize(images)
    assert bench.adaptor.executed(quantized) == {
        op: config.precision for op, config in recipe.ops.items()
    }


def test_both_formats_compute_the_same(workbench, residual_model, images, snr_db):
    outputs = []
    for framework in FORMATS:
        bench = workbench(framework).load(residual_model)
        outputs.append(bench.adaptor.predict(bench.quantize(images), images[0]))
    assert snr_db(*outputs) > 40


def test_qdq_output_holds_only_standard_ops(workbench, residual_model, images):
    bench = workbench("onnxrt_qdq").load(residual_model)
    proto = bench.quantize(images).proto
    assert {node.domain for node in proto.graph.node} == {""}
    onnx.checker.check_model(proto, full_check=True)


@pytest.mark.parametrize("framework", FORMATS)
def test_weights_are_stored_as_integers_only(workbench, residual_model, images, framework):
    bench = workbench(framework).load(residual_model)
    quantized = bench.quantize(images)
    floats = [
        numpy_helper.to_array(t).size
        for t in quantized.proto.graph.initializer
        if t.data_type == onnx.TensorProto.FLOAT
    ]
    assert max(floats) <= 24  # scales, per channel
    assert len(bench.adaptor.integer_weights(quantized)) == 7


def test_relu_between_integer_ops_disappears(workbench, residual_model, images):
    bench = workbench("onnxrt_qdq").load(residual_model)
    assert not {"Relu", "Clip"} & set(types(bench.quantize(images).proto))


def test_first_conv_gets_a_fourth_input_channel(workbench, residual_model, images):
    bench = workbench("onnxrt_qoperator").load(residual_model)
    proto = bench.quantize(images).proto
    weights = {t.name: t.dims for t in proto.graph.initializer}
    first = next(node for node in proto.graph.node if node.op_type == "QLinearConv")
    assert weights[first.input[3]] == [16, 4, 3, 3]


def test_float_neighbours_read_floats(workbench, residual_model, images, snr_db):
    bench = workbench("onnxruntime").load(residual_model)
    convs = [name for name in bench.capabilities if name.startswith("conv")]
    quantized = bench.quantize(images, floats=convs[1:3])
    assert types(quantized.proto)["Conv"] == 6
    assert Counter(bench.executed_types(quantized))["QLinearConv"] == 4
    expected = bench.adaptor.predict(bench.model, images[0])
    assert snr_db(expected, bench.adaptor.predict(quantized, images[0])) > 20


def between_convs(net, middle):
    """A model of two ops that are quantized and one between them, whose weights differ by channel."""
    x = net.input("x", ["batch", 3, 8, 8])
    x = net.op("Relu", net.conv(x, 16, 3), name="first_relu")
    spread = np.logspace(0, -3, 16, dtype=np.float32)  # with one scale for all, most would be 0
    if middle == "Gemm":
        x = net.op("Flatten", net.op("GlobalAveragePool", x))
        weight = net.constant(net.rng.normal(size=(16, 16)).astype(np.float32) * spread)
        x = net.op("Relu", net.op("Gemm", x, weight, name="middle"))
        net.output(net.gemm(x, 16, 4, name="last"), ["batch", 4])
        return net.proto()
    group = 16 if middle == "depthwise" else 1
    op_type = "ConvTranspose" if middle == "ConvTranspose" else "Conv"
    values = net.rng.normal(size=(16, 16 // group, 3, 3)).astype(np.float32)
    shape = (1, 16, 1, 1) if op_type == "ConvTranspose" else (16, 1, 1, 1)
    weight = net.constant(values * spread.reshape(shape))
    bias = net.constant((net.rng.normal(size=16) * spread).astype(np.float32))
    x = net.op(op_type, x, weight, bias, name="middle", group=group, pads=[1] * 4)
    net.output(net.conv(net.op("Relu", x), 4, 16, name="last"), ["batch", 4, 8, 8])
    return net.proto()


@pytest.mark.parametrize("framework", FORMATS)
@pytest.mark.parametrize("middle", ["Conv", "depthwise", "ConvTranspose", "Gemm"])
def test_the_runtime_does_not_quantize_an_op_that_the_recipe_keeps_float(
    workbench, net, images, snr_db, framework, middle
):
    bench = workbench(framework).load(between_convs(net(), middle))
    batches = [{"x": batch["x"][:, :, :8, :8]} for batch in images]
    quantized = bench.quantize(batches, floats=["middle"])
    words = {op.name: word for op, word in bench.adaptor.executed(quantized).items()}
    assert words.pop("middle", "fp32") == "fp32"
    assert set(words.values()) == {"int8"}
    assert {"DequantizeLinear", middle if middle != "depthwise" else "Conv"} <= set(
        bench.executed_types(quantized)
    )
    onnx.checker.check_model(quantized.proto, full_check=True)
    outputs = [bench.adaptor.predict(m, batches[0]) for m in (bench.model, quantized)]
    assert snr_db(*outputs) > 25


def test_add_without_integer_neighbours_stays_float(workbench, residual_model, images):
    bench = workbench("onnxruntime").load(residual_model)
    floats = [name for name in bench.capabilities if not name.startswith("add")]
    quantized = bench.quantize(images, floats=floats)
    assert "QuantizeLinear" not in types(quantized.proto)
    executed = {op.name: precision for op, precision in bench.adaptor.executed(quantized).items()}
    assert set(executed.values()) == {"fp32"}


def test_concat_of_relus_shares_one_scale(workbench, residual_model, images):
    bench = workbench("onnxrt_qoperator").load(residual_model)
    graph = bench.quantize(images).proto.graph
    made_by = {output: node for node in graph.node for output in node.output}
    concat = next(node for node in graph.node if node.op_type == "Concat")
    scales = {made_by[name].input[6] for name in concat.input}
    assert len(scales) == 1


def concat_of_relu_and_plain(net):
    build = net()
    x = build.input("x", ["batch", 3, 16, 16])
    left = build.op("Relu", build.conv(x, 16, 3))
    right = build.conv(x, 16, 3)
    x = build.op("Concat", left, right, axis=1)
    build.output(build.conv(x, 16, 32), ["batch", 16, 16, 16])
    return build.proto()


@pytest.mark.parametrize("framework", FORMATS)
def test_concat_keeps_an_absorbed_relu_beside_negative_values(
    workbench, net, images, snr_db, framework
):
    bench = workbench(framework).load(concat_of_relu_and_plain(net))
    quantized = bench.quantize(images)
    assert "QLinearConcat" in bench.executed_types(quantized)
    expected = bench.adaptor.predict(bench.model, images[0])
    assert snr_db(expected, bench.adaptor.predict(quantized, images[0])) > 25


def test_max_pool_and_flatten_move_integers(workbench, residual_model, images):
    bench = workbench("onnxrt_qdq").load(residual_model)
    graph = bench.quantize(images).proto.graph
    pool = next(node for node in graph.node if node.op_type == "MaxPool")
    made_by = {output: node for node in graph.node for output in node.output}
    assert made_by[pool.input[0]].op_type == "QuantizeLinear"


def test_model_output_that_is_also_read_keeps_its_name(workbench, net, images):
    build = net()
    x = build.op("Relu", build.conv(build.input("x", ["batch", 3, 16, 16]), 16, 3))
    build.output(x, ["batch", 16, 16, 16])
    build.output(build.conv(x, 16, 16), ["batch", 16, 16, 16])
    bench = workbench().load(build.proto())
    first, second = bench.adaptor.predict(bench.quantize(images), images[0])
    assert first.min() == 0 and second.min() < 0


def test_dead_channel_with_large_bias_keeps_its_bias(workbench, net, images):
    build = net()
    x = build.input("x", ["batch", 3, 16, 16])
    build.output(build.conv(x, 16, 3), ["batch", 16, 16, 16])
    weight, bias = build.initializers
    values = numpy_helper.to_array(weight).copy()
    values[5] *= 1e-12
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    biases = numpy_helper.to_array(bias).copy()
    biases[5] = 3.0
    bias.CopyFrom(numpy_helper.from_array(biases, bias.name))
    bench = workbench().load(build.proto())
    outputs = bench.adaptor.predict(bench.quantize(images), images[0])
    assert np.abs(outputs[:, 5] - 3.0).max() < 0.1


@pytest.mark.parametrize("kernel", [1, 3])
def test_one_dimensional_conv(workbench, net, snr_db, kernel):
    build = net()
    x = build.input("x", ["batch", 4, 32])
    weight = build.constant(build.rng.normal(size=(16, 4, kernel)).astype(np.float32))
    build.output(build.op("Conv", x, weight), ["batch", 16, 33 - kernel])
    batches = [{"x": build.rng.normal(size=(4, 4, 32)).astype(np.float32)} for _ in range(2)]
    bench = workbench().load(build.proto())
    quantized = bench.quantize(batches)
    expected = bench.adaptor.predict(bench.model, batches[0])
    assert snr_db(expected, bench.adaptor.predict(quantized, batches[0])) > 25


@pytest.mark.parametrize("framework", FORMATS)
def test_odd_channels_and_sizes(workbench, net, snr_db, framework):
    build = net()
    x = build.input("x", ["batch", 5, 7, 9])
    x = build.op("Relu", build.conv(x, 7, 5, auto_pad="SAME_UPPER", pads=None, strides=[2, 2]))
    build.output(build.op("Sigmoid", build.conv(x, 3, 7)), ["batch", 3, 4, 5])
    for node in build.nodes:
        kept = [a for a in node.attribute if not (a.name == "pads" and not a.ints)]
        del node.attribute[:]
        node.attribute.extend(kept)
    batches = [{"x": build.rng.normal(size=(3, 5, 7, 9)).astype(np.float32)} for _ in range(2)]
    bench = workbench(framework).load(build.proto())
    quantized = bench.quantize(batches)
    assert "QLinearSigmoid" in bench.executed_types(quantized)
    expected = bench.adaptor.predict(bench.model, batches[0])
    assert snr_db(expected, bench.adaptor.predict(quantized, batches[0])) > 25


@pytest.mark.parametrize("framework", FORMATS)
def test_matrix_products_of_a_transformer_run_in_integers(
    workbench, attention_model, sentences, framework
):
    bench = workbench(framework).load(attention_model)
    executed = Counter(bench.executed_types(bench.quantize(sentences)))
    assert executed["MatMulIntegerToFloat"] == 5
    assert executed["Softmax"] == 1


def test_second_build_reuses_quantized_weights(workbench, residual_model, images, monkeypatch):
    bench = workbench().load(residual_model)
    bench.quantize(images)

    def fail(*args):
        raise AssertionError("quantized again")

    monkeypatch.setattr("inc_onnx.weights.quantize_weight", fail)
    bench.quantize(images)
