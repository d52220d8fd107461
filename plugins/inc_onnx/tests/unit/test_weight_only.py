"""Weight-only int4: exact packing, as good as ONNX Runtime's own quantizer, biases kept."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.weights import quantize_weight
from inc_onnx.model import OnnxModel
from inc_onnx.weight_only import KERNELS, pack_int4, quantize_symmetric

CONFIGS = tuple(dict.fromkeys(kernel.config for kernel in KERNELS))
# activations are rounded to 8 bits per group
MIN_SNR_DB = 35.0
# not a multiple of any group size
INSIDE, OUTSIDE = 80, 24


@pytest.fixture
def rows():
    return {"x": np.random.default_rng(5).normal(size=(4, INSIDE)).astype(np.float32)}


def linear(build):
    x = build.input("x", ["batch", INSIDE])
    build.output(build.op("MatMul", x, build.matrix(INSIDE, OUTSIDE)), ["batch", OUTSIDE])
    return build.proto()


def quantize(bench, config):
    ops = {c.op: config for c in bench.capabilities.values()}
    return bench.adaptor.quantize(bench.model, Recipe(ops), Calibration.none())


def dequantized(weight, spec):
    """Return the float weight that the integers stand for."""
    if spec.scheme == "asym":
        q_weight, qparams = quantize_weight(weight, spec, axis=1)
        return qparams.dequantize(q_weight)
    padded = np.pad(weight.T, [(0, 0), (0, -weight.shape[0] % spec.group_size)])
    groups = padded.reshape(weight.shape[1], -1, spec.group_size)
    q_groups, scale = quantize_symmetric(groups)
    return (q_groups * scale[..., None]).reshape(padded.shape)[:, : weight.shape[0]].T


def test_first_number_of_a_pair_is_in_the_low_bits():
    packed = pack_int4(np.array([[1, 2, 15], [3, 0, 4]], np.uint8))
    assert packed.tolist() == [[0x21, 0x0F], [0x03, 0x04]]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_product_is_that_of_the_dequantized_weight(net, workbench, rows, snr_db, config):
    bench = workbench(approach="weight_only").load(linear(net()))
    quantized = quantize(bench, config)
    weight = numpy_helper.to_array(bench.model.proto.graph.initializer[0])
    expected = rows["x"] @ dequantized(weight, config.weight)
    assert snr_db(expected, bench.adaptor.predict(quantized, rows)) > MIN_SNR_DB


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_stored_integers_are_exact(net, workbench, rows, config):
    """At accuracy level 1 the runtime keeps activations in float32, and shows the weight itself."""
    bench = workbench(approach="weight_only").load(linear(net()))
    proto = onnx.ModelProto()
    proto.CopyFrom(quantize(bench, config).proto)
    level = next(a for a in proto.graph.node[0].attribute if a.name == "accuracy_level")
    level.i = 1
    weight = numpy_helper.to_array(bench.model.proto.graph.initializer[0])
    output = OnnxModel(proto, threads=1).session.run(None, rows)[0]
    expected = rows["x"] @ dequantized(weight, config.weight)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_error_is_not_above_that_of_the_runtimes_quantizer(net, workbench, rows, snr_db, config):
    state = pytest.importorskip("onnxruntime.capi._pybind_state")
    bench = workbench(approach="weight_only").load(linear(net()))
    proto = quantize(bench, config).proto
    names = list(proto.graph.node[0].input)[1:]
    theirs = [np.zeros_like(numpy_helper.to_array(t)) for t in tensors(proto, names)]
    zeros = theirs[2] if len(theirs) > 2 else np.zeros(0, np.uint8)
    weight = numpy_helper.to_array(bench.model.proto.graph.initializer[0]).copy()
    size, symmetric = config.weight.group_size, config.weight.scheme == "sym"
    state.quantize_matmul_4bits(
        theirs[0], weight, theirs[1], zeros, size, OUTSIDE, INSIDE, symmetric
    )
    rival = onnx.ModelProto()
    rival.CopyFrom(proto)
    for tensor, values in zip(tensors(rival, names), theirs, strict=True):
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    expected = rows["x"] @ weight
    ours, other = (OnnxModel(p, threads=1).session.run(None, rows)[0] for p in (proto, rival))
    assert snr_db(expected, ours) > snr_db(expected, other) - 0.5


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_keeps_its_bias_in_both_layouts(net, workbench, rows, snr_db, transposed):
    build = net()
    x = build.input("x", ["batch", INSIDE])
    build.output(build.gemm(x, INSIDE, OUTSIDE, transB=transposed), ["batch", OUTSIDE])
    bench = workbench(approach="weight_only").load(build.proto())
    quantized = quantize(bench, CONFIGS[2])
    assert "MatMulNBits" in bench.executed_types(quantized)
    expected = bench.adaptor.predict(bench.model, rows)
    assert snr_db(expected, bench.adaptor.predict(quantized, rows)) > 15


def test_weights_take_an_eighth_of_the_space(net, workbench):
    bench = workbench(approach="weight_only").load(linear(net()))
    proto = quantize(bench, CONFIGS[0]).proto
    packed = tensors(proto, [proto.graph.node[0].input[1]])[0]
    # the last group is filled up
    assert len(packed.raw_data) == OUTSIDE * 128 // 2


def test_float_is_offered_last(net, workbench):
    bench = workbench(approach="weight_only").load(linear(net()))
    (capability,) = bench.capabilities.values()
    assert capability.configs == (*CONFIGS, capability.configs[-1])
    assert not capability.configs[-1].is_quantized


def tensors(proto, names):
    by_name = {tensor.name: tensor for tensor in proto.graph.initializer}
    return [by_name[name] for name in names]
