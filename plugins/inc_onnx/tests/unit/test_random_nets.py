"""Random conv nets under random recipes: whatever is mixed, the model builds and stays close."""

from __future__ import annotations

import numpy as np
import pytest

SIZE = 12
# 283 has a concat of a concat of Relus with negative values: its Relus must not get lost
SEEDS = [*range(20), 283]


def random_net(net, seed):
    """Grow a net of random blocks; every tensor has 4 dimensions and `SIZE` rows and columns."""
    build = net(seed)
    rng = build.rng
    tensors = [(build.input("x", ["batch", 3, SIZE, SIZE]), 3)]
    tensors.append((build.conv("x", 16, 3), 16))
    for _ in range(rng.integers(4, 10)):
        block = BLOCKS[rng.integers(len(BLOCKS))]
        tensors.append(block(build, rng, tensors))
    name, channels = tensors[-1]
    build.output(build.op("Identity", name, outputs=["features"]), ["batch", channels, SIZE, SIZE])
    flat = build.op("Flatten", build.op("GlobalAveragePool", name))
    build.output(build.gemm(flat, channels, 5), ["batch", 5])
    return build.proto()


def pick(rng, tensors):
    return tensors[rng.integers(1, len(tensors))]


def conv(build, rng, tensors):
    x, inside = pick(rng, tensors)
    outside = int(rng.choice([6, 8, 16, 18]))
    kernel = int(rng.choice([1, 3]))
    return build.conv(x, outside, inside, kernel=kernel, bias=bool(rng.integers(2))), outside


def conv_relu(build, rng, tensors):
    x, channels = conv(build, rng, tensors)
    return build.op("Relu", x), channels


def conv_relu6(build, rng, tensors):
    x, channels = conv(build, rng, tensors)
    bounds = [build.constant(np.float32(b)) for b in (0, 2)]
    return build.op("Clip", x, *bounds), channels


def depthwise(build, rng, tensors):
    x, channels = pick(rng, tensors)
    return build.conv(x, channels, channels, group=channels), channels


def residual(build, rng, tensors):
    x, channels = pick(rng, tensors)
    added = build.op("Add", build.conv(x, channels, channels), x)
    return (build.op("Relu", added) if rng.integers(2) else added), channels


def concat(build, rng, tensors):
    (left, first), (right, second) = pick(rng, tensors), pick(rng, tensors)
    return build.op("Concat", left, right, axis=1), first + second


def pool(build, rng, tensors):
    x, channels = pick(rng, tensors)
    op_type = ["MaxPool", "AveragePool"][rng.integers(2)]
    return build.op(op_type, x, kernel_shape=[3, 3], pads=[1] * 4), channels


def gate(build, rng, tensors):
    x, channels = pick(rng, tensors)
    squeezed = build.conv(build.op("GlobalAveragePool", x), channels, channels, kernel=1)
    return build.op("Mul", x, build.op("Sigmoid", squeezed)), channels


def shuffle(build, rng, tensors):
    x, channels = pick(rng, tensors)
    if channels % 2:
        return x, channels
    apart = build.constant(np.array([0, 2, channels // 2, SIZE, SIZE], np.int64))
    back = build.constant(np.array([0, channels, SIZE, SIZE], np.int64))
    mixed = build.op("Transpose", build.op("Reshape", x, apart), perm=[0, 2, 1, 3, 4])
    return build.op("Reshape", mixed, back), channels


def half(build, rng, tensors):
    x, channels = pick(rng, tensors)
    ends = [build.constant(np.array([n], np.int64)) for n in (0, channels // 2, 1)]
    return build.op("Slice", x, *ends), channels // 2


def affine(build, rng, tensors):
    x, channels = pick(rng, tensors)
    factors = rng.uniform(0.5, 2, (channels, 1, 1)).astype(np.float32)
    shifts = rng.normal(size=(1, channels, 1, 1)).astype(np.float32)
    scaled = build.op("Mul", build.constant(factors), x)
    return build.op("Add", scaled, build.constant(shifts)), channels


def free_relu(build, rng, tensors):
    x, channels = pick(rng, tensors)
    return build.op("Relu" if rng.integers(2) else "LeakyRelu", x), channels


BLOCKS = (
    conv,
    conv_relu,
    conv_relu,
    conv_relu6,
    depthwise,
    residual,
    concat,
    pool,
    gate,
    shuffle,
    half,
    affine,
    free_relu,
)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_net_under_random_recipes(workbench, net, snr_db, seed):
    rng = np.random.default_rng(seed)
    proto = random_net(net, seed)
    batches = [{"x": rng.normal(size=(4, 3, SIZE, SIZE)).astype(np.float32)} for _ in range(2)]
    bench = workbench(["onnxrt_qdq", "onnxrt_qoperator"][seed % 2]).load(proto)
    expected = bench.adaptor.predict(bench.model, batches[0])
    calibration = bench.calibration(batches)
    names = list(bench.capabilities)
    for share in (0.0, 0.3, 0.7):
        recipe = bench.best(floats=[name for name in names if rng.random() < share])
        quantized = bench.adaptor.quantize(bench.model, recipe, calibration)
        assert snr_db(expected, bench.adaptor.predict(quantized, batches[0])) > 15
