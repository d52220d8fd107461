"""Half precision is offered only where the runtime computes in it; what is written is right anyway."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from inc_core.quant.calibrator import Calibration
from inc_core.quant.spec import OpConfig
from inc_onnx.float16 import KERNELS, emit, requires, runs_natively
from inc_onnx.graph import Graph
from inc_onnx.model import OnnxModel
from inc_onnx.plan import StaticPlan
from inc_onnx.weights import WeightCache
from inc_onnx.writer import GraphWriter

X86 = platform.machine().lower() in ("x86_64", "amd64")


@pytest.mark.skipif(not X86, reason="the claim is about ONNX Runtime's builds for x86")
def test_nothing_is_offered_where_the_runtime_only_casts():
    assert KERNELS == ()
    assert not runs_natively("MatMul", "fp16")


def test_every_row_is_backed_by_a_kernel_of_the_runtime():
    assert all(runs_natively(kernel.op_type, kernel.config.mode) for kernel in KERNELS)


def test_emitted_op_stores_half_and_is_right_to_its_precision(net, snr_db):
    build = net()
    x = build.input("x", ["batch", 32])
    build.output(build.gemm(x, 32, 8), ["batch", 8])
    proto = build.proto()
    source, config, calibration = Graph(proto), OpConfig("fp16"), Calibration.none()
    plan = StaticPlan(source, {}, calibration)
    writer = GraphWriter(
        source, Graph(proto), output_format="qdq", weights=WeightCache(), plan=plan
    )
    emit(writer, writer.graph.nodes[0], config, calibration)
    written = writer.finish()
    assert {t.data_type for t in written.graph.initializer} == {10}  # float16
    feeds = {"x": build.rng.normal(size=(4, 32)).astype(np.float32)}
    expected, output = (
        OnnxModel(p, threads=1).session.run(None, feeds)[0] for p in (proto, written)
    )
    assert output.dtype == np.float32
    assert snr_db(expected, output) > 50


def test_constant_beyond_the_range_of_float16_is_refused(net):
    build = net()
    x = build.input("x", ["batch", 2])
    big = build.constant(np.full((2, 2), 1e6, np.float32))
    build.output(build.op("MatMul", x, big), ["batch", 2])
    graph = Graph(build.proto())
    assert requires(graph, graph.nodes[0]) == "a constant is too large for float16"
