"""Static products of rank 3: integers in what the session runs, with the bias inside."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest


def two_layers(build):
    x = build.input("x", ["batch", 7, 32])
    for _ in range(2):
        bias = build.constant(build.rng.normal(size=32).astype(np.float32))
        x = build.op("Add", build.op("MatMul", x, build.matrix(32, 32)), bias)
        x = build.op("Tanh", x)
    build.output(x, ["batch", 7, 32])
    return build.proto()


@pytest.fixture
def rows():
    rng = np.random.default_rng(5)
    return [{"x": rng.normal(size=(2, 7, 32)).astype(np.float32)} for _ in range(3)]


@pytest.mark.parametrize("framework", ["onnxrt_qdq", "onnxrt_qoperator"])
def test_runtime_computes_products_with_bias_in_integers(net, workbench, rows, snr_db, framework):
    bench = workbench(framework).load(two_layers(net()))
    quantized = bench.quantize(rows)
    executed = Counter(bench.executed_types(quantized))
    assert executed["MatMulIntegerToFloat"] == executed["QuantizeLinear"] == 2
    assert not {"Gemm", "Add", "DequantizeLinear"} & set(executed)
    expected = bench.adaptor.predict(bench.model, rows[0])
    assert snr_db(expected, bench.adaptor.predict(quantized, rows[0])) > 30


def test_products_of_one_tensor_share_its_integers(net, workbench, rows):
    build = net()
    x = build.input("x", ["batch", 7, 32])
    for _ in range(3):
        build.output(build.op("MatMul", x, build.matrix(32, 8)), ["batch", 7, 8])
    bench = workbench().load(build.proto())
    kinds = Counter(node.op_type for node in bench.quantize(rows).proto.graph.node)
    assert kinds == {"QuantizeLinear": 1, "MatMulIntegerToFloat": 3}
