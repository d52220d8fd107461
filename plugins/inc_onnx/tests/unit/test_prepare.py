"""Preparation keeps the function, and gives what quantization needs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from inc_core.errors import UnsupportedModelError
from inc_onnx import model as module
from inc_onnx.model import OnnxModel
from inc_onnx.prepare import prepare


def batch_norm(build, x, channels):
    rng = build.rng
    names = [
        build.constant(v.astype(np.float32))
        for v in (
            rng.uniform(0.5, 2, channels),
            rng.normal(size=channels),
            rng.normal(size=channels),
            rng.uniform(0.5, 2, channels),
        )
    ]
    return build.op("BatchNormalization", x, *names)


def outputs(model, feeds):
    return model.session.run(None, feeds)


def types(model):
    return [node.op_type for node in model.proto.graph.node]


def assert_same_function(proto, prepared, feeds):
    for ours, theirs in zip(
        outputs(prepared, feeds), outputs(OnnxModel(proto), feeds), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_disappears_in_the_conv_before_it(net, bias):
    build = net()
    x = build.conv(build.input("x", ["batch", 3, 8, 8]), 8, 3, bias=bias)
    build.output(build.op("Relu", batch_norm(build, x, 8)), ["batch", 8, 8, 8])
    proto = build.proto()
    prepared = prepare(proto, None)
    assert types(prepared) == ["Conv", "Relu"]
    feeds = {"x": build.rng.normal(size=(2, 3, 8, 8)).astype(np.float32)}
    assert_same_function(proto, prepared, feeds)


def test_batch_norm_stays_where_the_conv_is_read_twice(net):
    build = net()
    x = build.conv(build.input("x", ["batch", 3, 8, 8]), 8, 3)
    build.output(build.op("Add", batch_norm(build, x, 8), x), ["batch", 8, 8, 8])
    assert types(prepare(build.proto(), None)) == ["Conv", "BatchNormalization", "Add"]


def test_constants_are_computed_and_copies_dropped(net):
    build = net()
    x = build.op("Identity", build.input("x", ["batch", 4]))
    weight = build.op("Transpose", build.matrix(3, 4), perm=[1, 0])
    half = build.op("Constant", value_float=0.5)
    product = build.op("MatMul", build.op("Dropout", x, half), weight)
    build.output(product, ["batch", 3])
    proto = build.proto()
    prepared = prepare(proto, None)
    assert types(prepared) == ["MatMul"]
    assert_same_function(proto, prepared, {"x": np.ones((2, 4), np.float32)})


def test_matrix_product_with_bias_becomes_gemm(net):
    build = net()
    x = build.op("MatMul", build.input("x", ["batch", 4]), build.matrix(4, 3))
    build.output(build.op("Add", build.constant(np.ones(3, np.float32)), x), ["batch", 3])
    proto = build.proto()
    prepared = prepare(proto, None)
    assert types(prepared) == ["Gemm"]
    assert_same_function(proto, prepared, {"x": np.ones((2, 4), np.float32)})


def test_spatial_mean_becomes_pooling(net):
    build = net()
    x = build.conv(build.input("x", ["batch", 3, 8, 8]), 8, 3)
    build.output(build.op("ReduceMean", x, axes=[2, 3], keepdims=1), ["batch", 8, 1, 1])
    proto = build.proto()
    prepared = prepare(proto, None)
    assert types(prepared) == ["Conv", "GlobalAveragePool"]
    assert_same_function(proto, prepared, {"x": np.ones((2, 3, 8, 8), np.float32)})


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
def test_old_opset_is_raised(net, opset, workbench):
    build = net(opset=opset)
    x = batch_norm(build, build.conv(build.input("x", ["batch", 3, 8, 8]), 16, 3), 16)
    build.output(build.conv(build.op("Relu", x), 16, 16), ["batch", 16, 8, 8])
    bench = workbench().load(build.proto())
    assert bench.model.graph.opset >= 13
    feeds = {"x": build.rng.normal(size=(2, 3, 8, 8)).astype(np.float32)}
    assert_same_function(build.proto(), bench.model, feeds)
    assert "QLinearConv" in bench.executed_types(bench.quantize([feeds]))


def test_opset_that_cannot_be_raised_leaves_all_float_with_the_reason(net, workbench):
    build = net(opset=11)
    x = build.conv(build.input("x", ["batch", 3, 8, 8]), 16, 3)
    build.output(build.op("NoSuchOp", x), ["batch", 16, 8, 8])
    (capability,) = workbench().load(build.proto(check=False)).capabilities.values()
    assert capability.note.startswith("opset 11 could not be raised to 13: ")


def test_nodes_get_unique_names_and_keep_given_ones(net):
    build = net()
    x = build.input("x", [4])
    for name in ("same", "same", "", "x"):
        x = build.op("Relu", x, name=name)
    build.output(x, [4])
    names = [node.name for node in prepare(build.proto(), None).proto.graph.node]
    assert names == ["same", "same_2", "Relu_t2", "x_2"]


def test_source_is_not_changed(residual_model):
    before = residual_model.SerializeToString(deterministic=True)
    prepare(residual_model, None)
    assert residual_model.SerializeToString(deterministic=True) == before


def test_large_weights_are_not_inlined_when_external(net, tmp_path, workbench):
    build = net()
    build.output(build.gemm(build.input("x", ["batch", 64]), 64, 64), ["batch", 64])
    proto = build.proto()
    expected = outputs(OnnxModel(proto), {"x": np.ones((1, 64), np.float32)})[0]
    path = tmp_path / "large.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="large.data", size_threshold=0)
    bench = workbench().load(str(path))
    external = [t for t in bench.model.proto.graph.initializer if t.external_data]
    assert external and not any(t.raw_data for t in external)
    batches = [{"x": build.rng.normal(size=(4, 64)).astype(np.float32)}]
    np.testing.assert_allclose(
        bench.adaptor.predict(bench.model, np.ones((1, 64), np.float32)), expected, rtol=1e-4
    )
    quantized = bench.quantize(batches)
    assert "QGemm" in bench.executed_types(quantized)
    saved = tmp_path / "saved"
    saved.mkdir()
    bench.adaptor.save(bench.model, saved)
    restored = bench.adaptor.restore(saved)
    np.testing.assert_array_equal(
        bench.adaptor.predict(restored, batches[0]), bench.adaptor.predict(bench.model, batches[0])
    )
    assert {p.name for p in saved.iterdir()} == {"model.onnx", "model.onnx.data"}


def test_model_that_is_too_large_for_one_message_runs_from_files(residual_model, monkeypatch):
    feeds = {"x": np.ones((2, 3, 16, 16), np.float32)}
    expected = outputs(OnnxModel(residual_model), feeds)[0]
    monkeypatch.setattr(module, "INLINE_LIMIT_BYTES", module.inline_bytes(residual_model))
    np.testing.assert_array_equal(outputs(OnnxModel(residual_model), feeds)[0], expected)


def test_bytes_inside_a_model_are_those_of_its_weights(residual_model, tmp_path):
    held = sum(len(t.raw_data) for t in residual_model.graph.initializer)
    assert module.inline_bytes(residual_model) == held
    path = tmp_path / "m.onnx"
    onnx.save(residual_model, path, save_as_external_data=True, location="d", size_threshold=0)
    assert module.inline_bytes(onnx.load(path, load_external_data=False)) == 0


def test_missing_data_file_is_named(net, tmp_path, workbench):
    build = net()
    build.output(build.gemm(build.input("x", ["batch", 64]), 64, 64), ["batch", 64])
    path = tmp_path / "large.onnx"
    onnx.save(build.proto(), path, save_as_external_data=True, location="w.data", size_threshold=0)
    (tmp_path / "w.data").unlink()
    with pytest.raises(UnsupportedModelError, match=r"needs the data file 'w\.data' beside it"):
        workbench().load(path)


def test_initializers_that_are_also_inputs_are_weights(net):
    build = net(opset=13)
    x = build.input("x", ["batch", 4])
    weight = build.matrix(4, 3)
    build.input(weight, [4, 3])
    build.output(build.op("MatMul", x, weight), ["batch", 3])
    prepared = prepare(build.proto(), None)
    assert prepared.graph.inputs == ["x"]
    assert [i.name for i in prepared.session.get_inputs()] == ["x"]


def test_shared_weight_of_two_convs_is_folded_for_one_only(net):
    build = net()
    x = build.input("x", ["batch", 3, 8, 8])
    weight = build.constant(build.rng.normal(size=(8, 3, 1, 1)).astype(np.float32))
    left, right = build.op("Conv", x, weight), build.op("Conv", x, weight)
    build.output(build.op("Add", batch_norm(build, left, 8), right), ["batch", 8, 8, 8])
    proto = build.proto()
    feeds = {"x": build.rng.normal(size=(2, 3, 8, 8)).astype(np.float32)}
    assert_same_function(proto, prepare(proto, None), feeds)
    assert numpy_helper.to_array(proto.graph.initializer[0]).shape == (8, 3, 1, 1)
