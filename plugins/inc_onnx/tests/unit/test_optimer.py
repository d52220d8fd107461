"""The latency table: micro-models are what they say, nothing is timed twice, edges are priced."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto

from inc_core.hookspecs.adaptor import OpTimer
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32
from inc_onnx import stopwatch
from inc_onnx.inputs import input_infos
from inc_onnx.kernels.table import kernel_table
from inc_onnx.micro import conversion, float_micro_model, quantized_micro_model, signature_of
from inc_onnx.optimer import OpClock
from inc_onnx.stopwatch import time_models


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Time in as few rounds as it goes: only what is timed is under test here."""
    monkeypatch.setattr(stopwatch, "ROUND_SECONDS", 0.0)


@pytest.fixture
def twins(net):
    """A chain of one conv, then two convs of equal shape, then a head."""
    net = net()
    x = net.input("x", ["batch", 3, 8, 8])
    x = net.op("Relu", net.conv(x, 8, 3), name="relu0")
    x = net.op("Relu", net.conv(x, 8, 8), name="relu1")
    x = net.op("Relu", net.conv(x, 8, 8), name="relu2")
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    net.output(net.gemm(x, 8, 4, transB=1), ["batch", 4])
    return net.proto()


def images_of(size, batch=2):
    return np.random.default_rng(0).normal(size=(batch, 3, size, size)).astype(np.float32)


def time_ops(bench, known, batch=2, size=8):
    capabilities = bench.adaptor.capabilities(bench.model)
    return bench.adaptor.time_ops(bench.model, capabilities, images_of(size, batch), known)


def test_the_adaptor_can_time_ops(workbench):
    assert isinstance(workbench().adaptor, OpTimer)


@pytest.mark.parametrize("framework", ["onnxrt_qdq", "onnxrt_qoperator"])
def test_every_op_is_timed_in_every_config(workbench, residual_model, framework):
    bench = workbench(framework).load(residual_model)
    table = time_ops(bench, {}, size=16)
    space = TuningSpace(tuple(bench.adaptor.capabilities(bench.model)))
    for op in space.ops:
        assert set(table.seconds[op]) == set(space.options(op)), op
        assert min(table.seconds[op].values()) >= 0
    assert sum(row[FP32] for row in table.seconds.values()) > 0


def test_dynamic_ops_are_timed_without_borders(workbench, attention_model):
    bench = workbench(approach="dynamic").load(attention_model)
    capabilities = bench.adaptor.capabilities(bench.model)
    ids = np.zeros((2, 8), np.int64)
    table = bench.adaptor.time_ops(bench.model, capabilities, ids, {})
    offered = [c.op for c in capabilities if len(c.configs) > 1]
    assert offered and set(table.seconds) == set(offered)
    assert table.boundary == {}


@pytest.mark.parametrize("model", ["residual_model", "attention_model"])
def test_inferred_shapes_are_those_of_a_run(workbench, model, request):
    bench = workbench().load(request.getfixturevalue(model))
    graph = bench.model.graph
    arrays = {
        info.name: np.ones(
            [d if isinstance(d, int) else 3 for d in info.shape],
            info.dtype.replace("float", "float32"),
        )
        for info in input_infos(bench.model.session)
    }
    clock = OpClock(bench.model, (), bench.adaptor.context, "qdq", {})
    names = [name for node in graph.nodes for name in node.output]
    found = clock._shapes_on(arrays)
    assert {name: found[name] for name in names} == clock._measured_shapes(names, arrays)


def test_shapes_that_inference_does_not_know_are_read_off_a_run(workbench, net):
    net = net()
    x = net.input("x", ["batch", 4])
    nonzero = net.op("Transpose", net.op("NonZero", x), perm=[1, 0])  # as many rows as values
    y = net.op("MatMul", net.op("Cast", nonzero, to=TensorProto.FLOAT), net.matrix(2, 8))
    net.output(y, [None, 8])
    bench = workbench().load(net.proto())
    clock = OpClock(bench.model, (), bench.adaptor.context, "qdq", {})
    assert clock._shapes_on({"x": np.ones((3, 4), np.float32)})[y] == (12, 8)


def test_ops_of_one_shape_are_timed_once(workbench, twins):
    known = {}
    table = time_ops(workbench().load(twins), known)
    first, second = (row for op, row in table.seconds.items() if op.name in ("conv_2", "conv_4"))
    assert first == second
    assert len([key for key in known if key.startswith("Conv ")]) == 4  # 2 shapes, int8 and float


def test_what_is_known_is_not_timed_again(workbench, twins, monkeypatch):
    known = {}
    table = time_ops(workbench().load(twins), known)
    monkeypatch.setattr("inc_onnx.optimer.time_models", None)  # would fail if it were called
    assert time_ops(workbench().load(twins), dict(known)) == table


def test_other_batch_sizes_are_other_measurements(workbench, twins):
    known = {}
    time_ops(workbench().load(twins), known, batch=2)
    before = len(known)
    time_ops(workbench().load(twins), known, batch=4)
    assert len(known) == 2 * before


def test_neighbours_have_a_price_and_the_ends_pay_their_own(workbench, twins, monkeypatch):
    monkeypatch.setattr("inc_onnx.optimer.time_models", _one_millisecond_each)
    table = time_ops(workbench().load(twins), {})
    pairs = {(a.name, b.name) for a, b in table.boundary}
    convs = [op.name for op in table.seconds if op.type == "Conv"]
    assert (convs[0], convs[1]) in pairs and (convs[1], convs[2]) in pairs
    by_name = {op.name: row for op, row in table.seconds.items()}
    static = {name: min(s for c, s in row.items() if c != FP32) for name, row in by_name.items()}
    assert static[convs[0]] == pytest.approx(2e-3)  # the model's input is converted for it
    assert static[convs[1]] == pytest.approx(1e-3)
    assert by_name[convs[0]][FP32] == pytest.approx(1e-3)


def _one_millisecond_each(models, threads):
    return [stopwatch.Seconds(1e-3) for _ in models]


def test_time_is_bounded_and_what_is_left_out_has_no_entry(workbench, twins, monkeypatch):
    monkeypatch.setattr("inc_onnx.optimer.TOTAL_SECONDS", -1.0)
    assert time_ops(workbench().load(twins), {}).seconds == {}


class TestMicroModels:
    @pytest.fixture
    def parts(self, workbench, twins):
        bench = workbench().load(twins)
        graph = bench.model.graph
        shapes = {i: (2, 3, 8, 8) for i in graph.inputs}
        shapes |= {n: (2, 8, 8, 8) for node in graph.nodes[:6] for n in node.output}
        return bench, graph, shapes

    def test_an_op_comes_with_its_activation_and_weights(self, parts):
        _, graph, shapes = parts
        micro = float_micro_model(graph, graph.nodes[0], shapes)
        assert [node.op_type for node in micro.proto.graph.node] == ["Conv", "Relu"]
        assert micro.session.run(None, {"x": images_of(8)})[0].shape == (2, 8, 8, 8)

    def test_an_op_of_unknown_shape_has_none(self, parts):
        _, graph, _ = parts
        assert float_micro_model(graph, graph.nodes[0], {}) is None

    @pytest.mark.parametrize("output_format", ["qdq", "qoperator"])
    def test_a_static_op_takes_and_gives_integers(self, parts, output_format):
        bench, graph, shapes = parts
        micro = float_micro_model(graph, graph.nodes[0], shapes)
        (capability, *_) = bench.adaptor.capabilities(bench.model)
        made = quantized_micro_model(
            graph, micro, graph.nodes[0].name, capability.configs[0],
            table=kernel_table(bench.adaptor.context), output_format=output_format,
        )  # fmt: skip
        assert [info.dtype for info in input_infos(made.session)] == ["uint8"]
        assert made.proto.graph.output[0].type.tensor_type.elem_type == TensorProto.UINT8

    def test_signatures_tell_shapes_apart_and_names_not(self, parts):
        _, graph, shapes = parts
        convs = [node for node in graph.nodes if node.op_type == "Conv"]
        first, second, third = (
            signature_of(float_micro_model(graph, node, shapes)) for node in convs
        )
        assert second == third != first


def test_a_model_that_the_runtime_refuses_has_no_time():
    broken = conversion("QuantizeLinear", (2, 3))
    broken.proto.graph.node[0].op_type = "NoSuchOp"
    good = conversion("DequantizeLinear", (2, 3))
    refused, timed = time_models([broken, good], threads=1)
    assert refused is None
    assert timed.kernels >= 0
