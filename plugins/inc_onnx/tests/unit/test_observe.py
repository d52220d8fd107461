"""Tapped tensors give what numpy gives on the same tensors."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import CalibrationError
from inc_core.quant.observers import Observer
from inc_core.quant.spec import TensorKey
from inc_onnx import observe as module
from inc_onnx.graph import Graph
from inc_onnx.model import OnnxModel
from inc_onnx.topology import tensor_key


@pytest.fixture
def bench(workbench, residual_model):
    return workbench().load(residual_model)


def reference(bench, images, key):
    """Return the tensor of ``key`` over all batches, computed with everything as an output."""
    graph = Graph(bench.model.proto)
    name = next(n for node in graph.nodes for n in node.output if tensor_key(graph, n) == key)
    proto = graph.proto()
    if name not in graph.outputs:
        proto.graph.output.add().name = name
    session = OnnxModel(proto).session
    return np.concatenate([session.run([name], batch)[0] for batch in images])


@pytest.mark.parametrize("run_bytes", [1, 1 << 26], ids=["one-by-one", "whole-batches"])
@pytest.mark.parametrize("index", [1, 3, 5], ids=["conv", "conv-before-add", "add"])
def test_reduced_ranges_and_means_are_exact(bench, images, monkeypatch, index, run_bytes):
    monkeypatch.setattr(module, "RUN_BYTES", run_bytes)
    capabilities = list(bench.capabilities.values())
    key = capabilities[index // 2].activations[-1]
    observer = Observer(needs_channels=True)
    bench.adaptor.observe(bench.model, images, {key: observer})
    found, tensor = observer.statistics(), reference(bench, images, key)
    assert found.samples == 32
    assert (found.lo, found.hi) == (pytest.approx(tensor.min()), pytest.approx(tensor.max()))
    mean = tensor.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(found.channel_mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.channel_hi, tensor.max(axis=(0, 2, 3)), rtol=1e-5)


def test_every_activation_can_be_reduced_and_fetched_alike(bench, images):
    keys = {k for c in bench.capabilities.values() for k in c.activations}
    reduced = {key: Observer() for key in keys}
    fetched = {key: Observer(needs_values=True) for key in keys}
    bench.adaptor.observe(bench.model, images, reduced)
    bench.adaptor.observe(bench.model, images, fetched)
    for key in keys:
        one, other = reduced[key].statistics(), fetched[key].statistics()
        assert (one.lo, one.hi) == (pytest.approx(other.lo), pytest.approx(other.hi)), key
        assert other.histogram is not None


def test_parts_are_as_small_as_memory_asks(bench, images):
    run = module._TappedRun(bench.model, {TensorKey("relu_1"): Observer()})
    large = {"x": np.zeros((8, 3, 16, 16), np.float32)}
    assert run._samples_per_run(large) == module.RUN_SAMPLES
    per_sample = module.RUN_BYTES // module.RUN_SAMPLES
    assert per_sample > 4 * sum(16 * 16 * 16 for _ in range(10))


def test_model_with_a_fixed_batch_is_run_whole(workbench, net):
    build = net()
    build.output(build.conv(build.input("x", [4, 3, 8, 8]), 16, 3), [4, 16, 8, 8])
    bench = workbench().load(build.proto())
    observer = Observer()
    batch = {"x": build.rng.normal(size=(4, 3, 8, 8)).astype(np.float32)}
    bench.adaptor.observe(bench.model, [batch], {TensorKey("conv_0"): observer})
    assert observer.statistics().samples == 4


def test_quantized_model_is_observed_under_the_float_keys(bench, images):
    quantized = bench.quantize(images)
    keys = {k for c in bench.capabilities.values() for k in c.activations}
    observers = {key: Observer() for key in keys}
    bench.adaptor.observe(quantized, images[:1], observers)
    floats = {key: Observer() for key in keys}
    bench.adaptor.observe(bench.model, images[:1], floats)
    for key in keys:
        exact = floats[key].statistics().hi
        assert observers[key].statistics().hi == pytest.approx(exact, rel=0.1, abs=0.05), key


def test_unknown_tensor_is_named(bench, images):
    with pytest.raises(CalibrationError, match="no tensor of op 'nowhere'"):
        bench.adaptor.observe(bench.model, images, {TensorKey("nowhere"): Observer()})


def test_nan_inside_the_model_is_a_calibration_error(workbench, net):
    build = net()
    x = build.input("x", ["batch", 3, 8, 8])
    build.output(build.op("Sqrt", build.conv(x, 16, 3)), ["batch", 16, 8, 8])
    bench = workbench().load(build.proto())
    batch = {"x": build.rng.normal(size=(2, 3, 8, 8)).astype(np.float32)}
    with pytest.raises(CalibrationError, match="gives NaN in output"):
        bench.calibration([batch])


def test_nan_in_the_data_is_a_calibration_error(bench, images):
    broken = {"x": images[0]["x"].copy()}
    broken["x"][0, 0, 0, 0] = np.nan
    with pytest.raises(CalibrationError):
        bench.calibration([broken])
