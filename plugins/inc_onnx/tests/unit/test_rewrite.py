"""Cross-layer equalization and bias correction."""

from __future__ import annotations

import numpy as np
import pytest

from inc_onnx.rewrite import BIAS_CORRECTION, EQUALIZATION


def separable(net, spread=1.0):
    """Conv, depthwise conv, pointwise conv; channel ranges of the first spread over orders."""
    build = net()
    x = build.input("x", ["batch", 3, 16, 16])
    x = build.op("Relu", build.conv(x, 16, 3, bias=False))
    x = build.op("Relu", build.conv(x, 16, 16, group=16))
    build.output(build.conv(x, 16, 16, kernel=1), ["batch", 16, 16, 16])
    factors = np.exp(build.rng.uniform(-spread, spread, 16)).astype(np.float32)
    from onnx import numpy_helper

    for index, factor in ((0, factors), (1, 1 / factors)):
        weight = build.initializers[index]
        values = numpy_helper.to_array(weight) * factor.reshape(-1, 1, 1, 1)
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return build.proto()


def snr_of(bench, images, options, snr_db):
    rewritten = bench.adaptor.rewrite(bench.model, options)
    calibration = bench.calibration(images, model=rewritten, channels=True)
    quantized = bench.adaptor.quantize(rewritten, bench.best(options=options), calibration)
    expected = bench.adaptor.predict(bench.model, images[0])
    return snr_db(expected, bench.adaptor.predict(quantized, images[0]))


def test_equalization_keeps_the_function(workbench, net, images, snr_db):
    bench = workbench().load(separable(net, spread=3))
    rewritten = bench.adaptor.rewrite(bench.model, [EQUALIZATION])
    assert bench.adaptor.digest(rewritten) != bench.adaptor.digest(bench.model)
    outputs = [bench.adaptor.predict(m, images[0]) for m in (bench.model, rewritten)]
    assert snr_db(*outputs) > 100


def test_equalization_repairs_spread_channels(workbench, net, images, snr_db):
    bench = workbench().load(separable(net, spread=4))
    plain = snr_of(bench, images, (), snr_db)
    assert snr_of(bench, images, (EQUALIZATION,), snr_db) > plain + 6


def test_bias_correction_changes_only_biases(workbench, net, images):
    bench = workbench().load(separable(net))
    weights = []
    for options in ((), (BIAS_CORRECTION,)):
        calibration = bench.calibration(images, channels=True)
        recipe = bench.best(options=options)
        quantized = bench.adaptor.quantize(bench.model, recipe, calibration)
        weights.append(bench.adaptor.integer_weights(quantized))
        biases = [n for n in quantized.graph.nodes if len(n.input) == 3]
        assert len([n for n in biases if n.op_type == "Conv"]) == (3 if options else 2)
    for name, weight in weights[0].items():
        np.testing.assert_array_equal(weight, weights[1][name])


def test_clip_between_convs_is_not_equalized(workbench, net):
    build = net()
    x = build.conv(build.input("x", ["batch", 3, 16, 16]), 16, 3)
    six = build.constant(np.float32(6))
    x = build.op("Clip", x, build.constant(np.float32(0)), six)
    build.output(build.conv(x, 16, 16), ["batch", 16, 16, 16])
    bench = workbench().load(build.proto())
    assert bench.adaptor.rewrites(bench.model) == (BIAS_CORRECTION,)


def test_tensor_read_twice_is_not_equalized(workbench, net):
    build = net()
    x = build.op("Relu", build.conv(build.input("x", ["batch", 3, 16, 16]), 16, 3))
    build.output(build.op("Add", build.conv(x, 16, 16), x), ["batch", 16, 16, 16])
    bench = workbench().load(build.proto())
    assert EQUALIZATION not in bench.adaptor.rewrites(bench.model)


@pytest.mark.parametrize("approach", ["dynamic", "weight_only"])
def test_nothing_is_offered_without_static_ops(workbench, net, approach):
    bench = workbench(approach=approach).load(separable(net))
    assert bench.adaptor.rewrites(bench.model) == ()


def test_derived_ranges_are_those_of_the_equalized_model(workbench, net, images):
    """The factors tell the whole difference: a rewritten model needs no calibration of its own."""
    bench = workbench().load(separable(net, spread=3))
    rewritten = bench.adaptor.rewrite(bench.model, [EQUALIZATION])
    factors = bench.adaptor.channel_factors(rewritten)
    assert factors
    derived = bench.calibration(images, channels=True).scaled(factors)
    exact = bench.calibration(images, model=rewritten, channels=True)
    for key in {key for c in bench.capabilities.values() for key in c.activations}:
        np.testing.assert_allclose(derived.range(key), exact.range(key), rtol=1e-3, atol=1e-5)
        means = derived.channel_mean(key), exact.channel_mean(key)
        np.testing.assert_allclose(*means, rtol=1e-3, atol=1e-4)
