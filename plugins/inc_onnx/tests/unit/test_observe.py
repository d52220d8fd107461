"""Tapped tensors give what numpy gives on the same tensors."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import CalibrationError
from inc_core.quant.observers import Observer, sampling_stride
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


@pytest.mark.parametrize("run_bytes", [1, 1 << 26], ids=["one-by-one", "whole-batches"])
@pytest.mark.parametrize("limit", [100, 1 << 15], ids=["thinned", "everything"])
def test_histogram_holds_the_values_that_evenly_spread_ones_give(
    bench, images, monkeypatch, limit, run_bytes
):
    monkeypatch.setattr(module, "RUN_BYTES", run_bytes)
    keys = list({k: None for c in bench.capabilities.values() for k in c.activations})[1:]
    observers = {
        key: Observer(needs_values=True, needs_channels=True, max_elements=limit) for key in keys
    }
    bench.adaptor.observe(bench.model, images, observers)
    for key in keys:
        tensor = reference(bench, images, key)
        length = 1 if run_bytes == 1 else len(images[0]["x"])
        expected = Observer(needs_values=True)
        for part in np.split(tensor, len(tensor) // length):
            flat = part.reshape(-1)
            thinned = flat[:: sampling_stride(flat.size, limit * length)]
            expected.update_reduced(flat.min(), flat.max(), length, values=thinned)
        found, wanted = observers[key].statistics(), expected.statistics()
        assert found.histogram.counts.sum() == wanted.histogram.counts.sum(), key
        # the runtime may fuse other ops when a tensor is tapped: a few values cross into the next bin
        moved = np.abs(found.histogram.counts - wanted.histogram.counts).sum()
        assert moved <= 0.02 * wanted.histogram.counts.sum(), key


def test_of_tensors_with_histograms_little_leaves_the_session(bench):
    key = TensorKey("relu_1")
    observer = Observer(needs_values=True, needs_channels=True, max_elements=64)
    run = module._TappedRun(bench.model, {key: observer})
    arrays = {"x": np.zeros((2, 3, 16, 16), np.float32)}
    run._wanted = [name for tap in run._taps for name in tap.outputs]
    fetched = run._session.run(run._wanted, {**arrays, **run._steps(arrays, 2)})
    assert max(array.size for array in fetched) <= 2 * 64


@pytest.mark.parametrize("named", [True, False], ids=["named-length", "unknown-length"])
def test_lengths_may_differ_from_batch_to_batch(workbench, net, named):
    build = net()
    length = "length" if named else None
    x = build.input("x", ["batch", length, 16])
    y = build.op("MatMul", build.op("Relu", x), build.matrix(16, 8))
    build.output(y, ["batch", length, 8])
    bench = workbench().load(build.proto())
    batches = [{"x": build.rng.normal(size=(2, n, 16)).astype(np.float32)} for n in (3, 7)]
    observer = Observer(needs_values=True)
    bench.adaptor.observe(bench.model, batches, {TensorKey("relu_0"): observer})
    found = observer.statistics()
    assert found.hi == max(batch["x"].max() for batch in batches)
    assert found.histogram.counts.sum() == 2 * (3 + 7) * 16


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


@pytest.mark.parametrize("values, channels", [(True, False), (True, True), (False, True)])
def test_nan_that_does_not_reach_the_outputs_is_found(workbench, net, values, channels):
    build = net()
    root = build.op("Sqrt", build.input("x", ["batch", 3, 8, 8]))
    whole = build.op("Where", build.op("IsNaN", root), build.constant(np.float32(0)), root)
    build.output(build.conv(whole, 16, 3), ["batch", 16, 8, 8])
    bench = workbench().load(build.proto())
    batch = {"x": np.ones((2, 3, 8, 8), np.float32)}
    batch["x"][1, 2, 3, 5] = -1
    observer = Observer(needs_values=values, needs_channels=channels, name="root")
    with pytest.raises(CalibrationError, match="'root' holds NaN"):
        bench.adaptor.observe(bench.model, [batch], {TensorKey("sqrt_0"): observer})


def test_nan_in_the_data_is_a_calibration_error(bench, images):
    broken = {"x": images[0]["x"].copy()}
    broken["x"][0, 0, 0, 0] = np.nan
    with pytest.raises(CalibrationError):
        bench.calibration([broken])
