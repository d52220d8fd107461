"""Dynamic int8: right values, shared inputs, biases inside, and integers in what the session runs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe

MIN_SNR_DB = 30.0


@pytest.fixture
def rows():
    return {"x": np.random.default_rng(5).normal(size=(2, 7, 32)).astype(np.float32)}


def quantize(bench, position=0):
    ops = {c.op: c.configs[min(position, len(c.configs) - 1)] for c in bench.capabilities.values()}
    return bench.adaptor.quantize(bench.model, Recipe(ops), Calibration.none())


def products(build, count, *, bias, rank=3):
    x = build.input("x", ["batch", 7, 32] if rank == 3 else ["batch", 32])
    for number in range(count):
        y = build.op("MatMul", x, build.matrix(32, 24), name=f"product_{number}")
        if bias:
            values = build.rng.normal(size=24).astype(np.float32)
            y = build.op("Add", build.constant(values), y)
        build.output(y, ["batch", 7, 24] if rank == 3 else ["batch", 24])
    return build.proto()


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_product_that_is_alone_with_its_input_is_one_op(net, workbench, rows, snr_db, bias):
    bench = workbench(approach="dynamic").load(products(net(), 1, bias=bias))
    quantized = quantize(bench)
    assert [node.op_type for node in quantized.proto.graph.node] == ["DynamicQuantizeMatMul"]
    expected = bench.adaptor.predict(bench.model, rows)
    assert snr_db(expected, bench.adaptor.predict(quantized, rows)) > MIN_SNR_DB


def test_products_of_one_tensor_share_its_integers(net, workbench, rows, snr_db):
    bench = workbench(approach="dynamic").load(products(net(), 3, bias=True))
    quantized = quantize(bench)
    kinds = [node.op_type for node in quantized.proto.graph.node]
    assert sorted(kinds) == ["DynamicQuantizeLinear", *["MatMulIntegerToFloat"] * 3]
    outputs = bench.adaptor.predict(bench.model, rows), bench.adaptor.predict(quantized, rows)
    for expected, output in zip(*outputs, strict=True):
        assert snr_db(expected, output) > MIN_SNR_DB


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_is_right_in_both_layouts(net, workbench, snr_db, transposed):
    build = net()
    x = build.input("x", ["batch", 32])
    build.output(build.gemm(x, 32, 24, transB=transposed), ["batch", 24])
    bench = workbench(approach="dynamic").load(build.proto())
    quantized = quantize(bench)
    assert bench.executed_types(quantized) == ["DynamicQuantizeMatMul"]
    feeds = {"x": build.rng.normal(size=(5, 32)).astype(np.float32)}
    expected = bench.adaptor.predict(bench.model, feeds)
    assert snr_db(expected, bench.adaptor.predict(quantized, feeds)) > MIN_SNR_DB


@pytest.mark.parametrize("position", [0, 1], ids=["per channel", "per tensor"])
def test_every_offered_granularity_can_be_built(net, workbench, rows, snr_db, position):
    bench = workbench(approach="dynamic").load(products(net(), 1, bias=True))
    expected = bench.adaptor.predict(bench.model, rows)
    output = bench.adaptor.predict(quantize(bench, position), rows)
    assert snr_db(expected, output) > MIN_SNR_DB


def test_scale_follows_each_input(net, workbench, rows, snr_db):
    bench = workbench(approach="dynamic").load(products(net(), 1, bias=False))
    quantized = quantize(bench)
    for factor in (1e-3, 1.0, 1e3):
        feeds = {"x": (rows["x"] * factor).astype(np.float32)}
        expected = bench.adaptor.predict(bench.model, feeds)
        assert snr_db(expected, bench.adaptor.predict(quantized, feeds)) > MIN_SNR_DB


def test_attention_block_runs_in_integers_and_stays_right(
    workbench, attention_model, sentences, snr_db
):
    bench = workbench(approach="dynamic").load(attention_model)
    quantized = quantize(bench)
    executed = bench.adaptor.executed(quantized)
    constant = [c.op for c in bench.capabilities.values() if c.configs[0].is_quantized]
    assert len(constant) == 5
    assert {executed[op] for op in constant} == {"int8"}
    expected = bench.adaptor.predict(bench.model, sentences[0])
    assert snr_db(expected, bench.adaptor.predict(quantized, sentences[0])) > 25


def test_fused_attention_projects_in_integers(net, workbench, rows, snr_db):
    build = net()
    x = build.input("x", ["batch", 7, 32])
    weight = build.matrix(32, 96)
    bias = build.constant(build.rng.normal(size=96).astype(np.float32) * np.float32(0.1))
    y = build.op("Tanh", x)
    build.output(y, ["batch", 7, 32])
    proto = build.proto()
    attention = helper.make_node(
        "Attention", [x, weight, bias], [y], "attention", domain="com.microsoft", num_heads=4
    )
    proto.graph.node[0].CopyFrom(attention)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    bench = workbench(approach="dynamic").load(proto)
    quantized = quantize(bench)
    assert "QAttention" in bench.executed_types(quantized)
    expected = bench.adaptor.predict(bench.model, rows)
    assert snr_db(expected, bench.adaptor.predict(quantized, rows)) > MIN_SNR_DB


def test_conv_stays_float_and_says_why(workbench, residual_model):
    bench = workbench(approach="dynamic").load(residual_model)
    convs = [c for c in bench.capabilities.values() if c.op.type == "Conv"]
    assert not any(config.is_quantized for c in convs for config in c.configs)
    assert {c.note for c in convs} == {"no kernel for this approach is faster than float"}


def test_automatic_approach_offers_dynamic_before_static_for_products(workbench, attention_model):
    bench = workbench(approach="auto").load(attention_model)
    modes = [
        list(dict.fromkeys(config.mode for config in c.configs))
        for c in bench.capabilities.values()
        if c.configs[0].is_quantized
    ]
    assert modes == [["dynamic", "static", "fp32"]] * 5


def test_bias_that_a_static_op_adds_is_left_to_it(net, workbench, images):
    """An ``Add`` with a config of its own must not vanish into the product before it."""
    build = net()
    x = build.op("Relu", build.conv(build.input("x", ["batch", 3, 16, 16]), 8, 3))
    x = build.op("MatMul", x, build.matrix(16, 16), name="product")
    x = build.op("Add", x, build.constant(np.ones(16, np.float32)), name="addition")
    build.output(build.op("Relu", build.conv(x, 8, 8)), ["batch", 8, 16, 16])
    bench = workbench(approach="auto").load(build.proto())
    quantized = bench.quantize(images)
    assert bench.adaptor.predict(quantized, images[0]).shape == (8, 8, 16, 16)
