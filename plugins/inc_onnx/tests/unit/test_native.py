"""inc's own operators in ONNX Runtime: right, fused, asked for, and shown in the ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import inc_core
from inc_core import Quantization
from inc_core.errors import ConfigError, UnsupportedModelError
from inc_core.native import ISAS
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_onnx.kernels.native import library, rows
from inc_onnx.model import OnnxModel

MIN_SNR_DB = 35.0
INSIDE, OUTSIDE = 80, 72
ASKED = {"recipes": {library.SWITCH: True}}


@pytest.fixture(autouse=True)
def built(monkeypatch):
    monkeypatch.delenv("INC_KERNELS", raising=False)
    if not library.LIBRARY.exists():
        assert os.environ.get("INC_REQUIRE_NATIVE", "") in ("", "0"), "the library was not built"
        pytest.skip("the native library was not built here")


@pytest.fixture
def x():
    return {"x": np.random.default_rng(5).normal(size=(2, 3, INSIDE)).astype(np.float32)}


def quantize(bench, config=None):
    ops = {c.op: config or c.configs[0] for c in bench.capabilities.values()}
    return bench.adaptor.quantize(bench.model, Recipe(ops), Calibration.none())


def kinds(model):
    return [node.op_type for node in model.proto.graph.node]


def layer(build, *, bias=True, activation="", **attributes):
    y = build.op("MatMul", build.input("x", ["b", 3, INSIDE]), build.matrix(INSIDE, OUTSIDE))
    if bias:
        y = build.op("Add", build.constant(build.rng.normal(size=OUTSIDE).astype(np.float32)), y)
    if activation:
        y = build.op(activation, y, **attributes)
    build.output(y, ["b", 3, OUTSIDE])
    return build.proto()


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(
    ("activation", "attributes"),
    [("", {}), ("Relu", {}), ("Gelu", {}), ("Gelu", {"approximate": "tanh"})],
    ids=["none", "relu", "gelu", "gelu by tanh"],
)
def test_dynamic_product_takes_bias_and_activation_in(
    net, workbench, x, snr_db, bias, activation, attributes
):
    proto = layer(net(opset=20), bias=bias, activation=activation, **attributes)
    bench = workbench(approach="dynamic", **ASKED).load(proto)
    quantized = quantize(bench)
    assert kinds(quantized) == ["DynamicLinear"]
    expected = bench.adaptor.predict(bench.model, x)
    assert snr_db(expected, bench.adaptor.predict(quantized, x)) > MIN_SNR_DB


@pytest.mark.parametrize("scheme", ["asym", "sym"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_int4_product_is_that_of_the_runtimes_own_op(net, workbench, x, snr_db, scheme, bias):
    proto = layer(net(), bias=bias)
    own = workbench(approach="weight_only", **ASKED).load(proto)
    standard = workbench(approach="weight_only").load(proto)
    for config in next(iter(own.capabilities.values())).configs:
        if config.weight is None or config.weight.scheme != scheme:
            continue
        quantized = quantize(own, config)
        assert kinds(quantized) == ["Int4Linear"]
        outputs = (
            bench.adaptor.predict(model, x)
            for bench, model in ((own, quantized), (standard, quantize(standard, config)))
        )
        assert snr_db(*outputs) > MIN_SNR_DB


@pytest.mark.parametrize("factor", [1e-9, 1e-4, 1e-3, 1e9])
def test_weights_of_any_magnitude_keep_their_four_bits(net, workbench, x, snr_db, factor):
    proto = layer(net(), bias=False)
    weight = numpy_helper.to_array(proto.graph.initializer[0]) * np.float32(factor)
    proto.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(weight, proto.graph.initializer[0].name)
    )
    bench = workbench(approach="weight_only", **ASKED).load(proto)
    quantized = quantize(bench)
    own = 1e-9 < factor < 1e9
    assert kinds(quantized) == ["Int4Linear" if own else "MatMulNBits"]
    assert all("by inc" in word for word in bench.adaptor.executed(quantized).values()) == own
    outputs = (bench.adaptor.predict(model, x) for model in (bench.model, quantized))
    assert snr_db(*outputs) > 15


@pytest.mark.parametrize("approach", ["dynamic", "weight_only"])
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_is_right_in_both_layouts(net, workbench, snr_db, approach, transposed):
    build = net()
    build.output(build.gemm(build.input("x", ["b", 64]), 64, 24, transB=transposed), ["b", 24])
    bench = workbench(approach=approach, **ASKED).load(build.proto())
    batch = {"x": np.random.default_rng(5).normal(size=(7, 64)).astype(np.float32)}
    outputs = (bench.adaptor.predict(m, batch) for m in (bench.model, quantize(bench)))
    assert snr_db(*outputs) > (MIN_SNR_DB if approach == "dynamic" else 15)


def test_an_activation_that_is_also_an_output_stays(net, workbench, x):
    build = net()
    y = build.op("MatMul", build.input("x", ["b", 3, INSIDE]), build.matrix(INSIDE, OUTSIDE))
    build.output(y, ["b", 3, OUTSIDE])
    build.output(build.op("Relu", y), ["b", 3, OUTSIDE])
    bench = workbench(approach="dynamic", **ASKED).load(build.proto())
    quantized = quantize(bench)
    assert kinds(quantized) == ["DynamicLinear", "Relu"]
    y, positive = bench.adaptor.predict(quantized, x)
    np.testing.assert_array_equal(np.maximum(y, 0), positive)


def test_the_default_output_is_standard(net, workbench):
    for approach in ("dynamic", "weight_only"):
        quantized = quantize(workbench(approach=approach).load(layer(net())))
        assert not library.uses_library(quantized.proto)


def test_the_reference_overrides_the_switch(net, workbench, monkeypatch):
    monkeypatch.setenv("INC_KERNELS", "reference")
    quantized = quantize(workbench(approach="dynamic", **ASKED).load(layer(net())))
    assert not library.uses_library(quantized.proto)


@pytest.mark.parametrize("choice", ["native", *ISAS])
def test_the_environment_chooses_the_instruction_set(choice):
    code = "from inc_onnx.kernels.native import library as l; print(l.wanted({l.SWITCH: True}), l.isa())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "INC_KERNELS": choice},
        capture_output=True,
        text=True,
    )
    native = library.load()
    supported = [isa for number, isa in enumerate(ISAS) if native.inc_isa_supported(number)]
    if choice in ISAS and choice not in supported:
        assert f"cannot be met: this CPU has no {choice}" in done.stderr
    else:
        assert done.stdout.split() == ["True", choice if choice in ISAS else supported[-1]]


def test_executed_names_the_kernels_and_the_instruction_set(net, workbench):
    bench = workbench(approach="dynamic", **ASKED).load(layer(net(), activation="Relu"))
    executed = bench.adaptor.executed(quantize(bench))
    assert set(executed.values()) == {f"int8 by inc's kernels, {library.isa()}"}


def test_times_and_versions_are_apart_from_those_of_the_runtimes_kernels(net, workbench, x):
    versions, known = [], {}
    for asked in ({}, ASKED):
        bench = workbench(approach="dynamic", **asked).load(layer(net()))
        versions.append(bench.adaptor.versions())
        capabilities = list(bench.capabilities.values())
        before = set(known)
        bench.adaptor.time_ops(bench.model, capabilities, x, known)
        assert set(known) - before
    assert versions[1] == {**versions[0], "native kernels": library.isa()}


def test_threads_and_batches_change_no_row(net, workbench):
    build = net()
    build.output(
        build.op("MatMul", build.input("x", ["b", 256]), build.matrix(256, 1500)), ["b", 1500]
    )
    bench = workbench(approach="dynamic", **ASKED).load(build.proto())
    quantized = quantize(bench)
    batch = np.random.default_rng(5).normal(size=(9, 256)).astype(np.float32)
    whole = bench.adaptor.predict(quantized, {"x": batch})
    threaded = OnnxModel(quantized.proto, threads=2).session.run(None, {"x": batch})[0]
    np.testing.assert_array_equal(whole, threaded)
    for row in range(9):
        alone = bench.adaptor.predict(quantized, {"x": batch[row : row + 1]})
        np.testing.assert_array_equal(whole[row : row + 1], alone)
    assert bench.adaptor.predict(quantized, {"x": batch[:0]}).shape == (0, 1500)


def test_a_library_that_was_not_built_is_said_with_the_remedy(
    net, workbench, monkeypatch, tmp_path
):
    bench = workbench(approach="dynamic", **ASKED).load(layer(net()))
    quantized = quantize(bench)
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "libinc_onnx.so")
    with pytest.raises(ConfigError, match=r"native_kernels: the native library was not built"):
        workbench(approach="dynamic", **ASKED)
    with pytest.raises(UnsupportedModelError, match=r"domain 'ai.inc'.*C\+\+ compiler"):
        bench.adaptor.predict(quantized, {"x": np.zeros((1, 3, INSIDE), np.float32)})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"out_features": 71}, "do not fit"),
        ({"out_features": 0}, "out of range"),
        ({"activation": 9}, "out of range"),
    ],
)
def test_a_node_that_does_not_fit_is_an_error_of_the_session(attributes, message):
    q = np.ones((OUTSIDE, INSIDE), np.int8)
    packed, sums = rows.pack_int8(q)
    constants = {"packed": packed, "sums": sums, "scales": np.ones(OUTSIDE, np.float32)}
    node = helper.make_node(
        "DynamicLinear",
        ["x", *constants],
        ["y"],
        domain=library.DOMAIN,
        **{"out_features": OUTSIDE, "activation": 0, **attributes},
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", INSIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(library.DOMAIN, 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    with pytest.raises(Exception, match=message):
        OnnxModel(proto).session.run(None, {"x": np.ones((2, INSIDE), np.float32)})


def test_a_session_that_knows_nothing_of_inc_needs_one_line(net, workbench, x):
    bench = workbench(approach="dynamic", **ASKED).load(layer(net()))
    quantized = quantize(bench)
    options = ort.SessionOptions()
    options.register_custom_ops_library(str(library.LIBRARY))
    session = ort.InferenceSession(quantized.proto.SerializeToString(), options)
    np.testing.assert_array_equal(session.run(None, x)[0], bench.adaptor.predict(quantized, x))


def test_a_tuned_model_is_saved_restored_and_verified(net, tmp_path):
    model = tmp_path / "float.onnx"
    onnx.save(layer(net(), activation="Relu"), model)
    data = [
        (np.random.default_rng(n).normal(size=(3, INSIDE)).astype(np.float32), 0) for n in range(8)
    ]
    quantizer = Quantization(
        {
            "model": {"framework": "onnxruntime"},
            "quantization": {"approach": "dynamic", **ASKED},
            "tuning": {"exit_policy": {"performance_only": True}},
        }
    )
    quantizer.model = str(model)
    quantizer.calib_dataloader = inc_core.common.DataLoader(data, batch_size=4)
    tuned = quantizer.fit()
    tuned.save(tmp_path / "tuned")
    ledger = json.loads((tmp_path / "tuned" / "ledger.json").read_text())
    assert f"run in int8 by inc's kernels, {library.isa()}" in json.dumps(ledger)
    batch = np.stack([row for row, _ in data])
    np.testing.assert_array_equal(
        inc_core.load(tmp_path / "tuned").predict(batch), tuned.predict(batch)
    )
    verified = subprocess.run(
        [sys.executable, "-m", "inc_core", "verify", str(tmp_path / "tuned")],
        capture_output=True,
        text=True,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
