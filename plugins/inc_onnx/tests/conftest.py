"""Small models, built node by node, and the few steps that most tests share."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibrator
from inc_core.quant.recipe import Recipe
from inc_onnx.adaptor import OnnxAdaptor
from inc_onnx.executed import optimized_graph


@pytest.fixture(autouse=True)
def no_user_cache(monkeypatch):
    """Keep measurements of one test from the next, and from the user's own cache."""
    monkeypatch.setenv("INC_CACHE", "0")


class Net:
    """Builds an ONNX model: each method adds nodes and returns the name of the new tensor."""

    def __init__(self, seed=0, opset=17):
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []

    def input(self, name, shape, dtype=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name, shape=None, dtype=TensorProto.FLOAT):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, array, name=None):
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, op_type, *inputs, name=None, outputs=None, domain="", **attributes):
        outputs = outputs or [f"t{len(self.nodes)}"]
        name = f"{op_type.lower()}_{len(self.nodes)}" if name is None else name
        node = helper.make_node(op_type, inputs, outputs, name=name, domain=domain, **attributes)
        self.nodes.append(node)
        return outputs[0]

    def conv(self, x, channels, inside, kernel=3, bias=True, scale=None, **attributes):
        group = attributes.get("group", 1)
        fan = inside // group * kernel * kernel
        shape = (channels, inside // group, kernel, kernel)
        weight = self.rng.normal(size=shape) * (scale or np.sqrt(2 / fan))
        names = [x, self.constant(weight.astype(np.float32))]
        if bias:
            names.append(self.constant((self.rng.normal(size=channels) * 0.1).astype(np.float32)))
        pad = kernel // 2
        attributes = {"pads": [pad] * 4, "kernel_shape": [kernel] * 2, **attributes}
        return self.op("Conv", *names, **attributes)

    def matrix(self, rows, columns):
        values = self.rng.normal(size=(rows, columns)) / np.sqrt(rows)
        return self.constant(values.astype(np.float32))

    def gemm(self, x, inside, outside, **attributes):
        bias = self.constant((self.rng.normal(size=outside) * 0.1).astype(np.float32))
        rows, columns = (outside, inside) if attributes.get("transB") else (inside, outside)
        return self.op("Gemm", x, self.matrix(rows, columns), bias, **attributes)

    def proto(self, check=True):
        graph = helper.make_graph(
            self.nodes, "net", self.inputs, self.outputs, initializer=self.initializers
        )
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 8
        if check:
            onnx.checker.check_model(model)
        return model


def residual_cnn():
    """A conv net with what such nets have: stem, residual add, depthwise, pooling, concat, head."""
    net = Net()
    x = net.input("x", ["batch", 3, 16, 16])
    x = net.op("Relu", net.conv(x, 16, 3))
    skip = x
    x = net.op("Relu", net.conv(x, 16, 16))
    x = net.conv(x, 16, 16)
    x = net.op("Relu", net.op("Add", x, skip))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    lo, hi = net.constant(np.float32(0)), net.constant(np.float32(6))
    x = net.op("Clip", net.conv(x, 16, 16, group=16), lo, hi)
    left = net.op("Relu", net.conv(x, 16, 16, kernel=1))
    right = net.op("Relu", net.conv(x, 8, 16, kernel=1, bias=False))
    x = net.op("Concat", left, right, axis=1)
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    net.output(net.gemm(x, 24, 10, transB=1), ["batch", 10])
    return net.proto()


def attention_block(length=8, width=16, heads=2):
    """One attention layer over integer ids, with an additive mask of huge range."""
    net = Net()
    ids = net.input("ids", ["batch", length], TensorProto.INT64)
    x = net.op("Gather", net.matrix(32, width), ids)
    shape = net.constant(np.array([0, length, heads, width // heads], np.int64))
    query, key, value = (
        net.op("Transpose", net.op("Reshape", y, shape), perm=[0, 2, 1, 3])
        for y in [net.op("MatMul", x, net.matrix(width, width)) for _ in range(3)]
    )
    scores = net.op("MatMul", query, net.op("Transpose", key, perm=[0, 1, 3, 2]))
    zero = net.constant(np.int64(0))
    padding = net.op("Cast", net.op("Equal", ids, zero), to=TensorProto.FLOAT)
    axes = net.constant(np.array([1, 2], np.int64))
    mask = net.op("Mul", net.op("Unsqueeze", padding, axes), net.constant(np.float32(-1e4)))
    weights = net.op("Softmax", net.op("Add", scores, mask), axis=-1)
    mixed = net.op("Transpose", net.op("MatMul", weights, value), perm=[0, 2, 1, 3])
    back = net.constant(np.array([0, length, width], np.int64))
    x = net.op("Add", x, net.op("MatMul", net.op("Reshape", mixed, back), net.matrix(width, width)))
    ones = net.constant(np.ones(width, np.float32))
    x = net.op("LayerNormalization", x, ones, axis=-1)
    net.output(net.op("MatMul", x, net.matrix(width, 4)), ["batch", length, 4])
    return net.proto()


class Workbench:
    """An adaptor with the steps between a proto and a quantized model."""

    def __init__(self, framework="onnxruntime", approach="static", **context):
        self.adaptor = OnnxAdaptor(AdaptorContext(framework, approach, threads=1, **context))

    def load(self, source):
        self.model = self.adaptor.load(source)
        self.capabilities = {c.op.name: c for c in self.adaptor.capabilities(self.model)}
        return self

    def best(self, *, floats=(), options=()):
        ops = {
            c.op: next(k for k in c.configs if not k.is_quantized)
            if c.op.name in floats
            else c.configs[0]
            for c in self.capabilities.values()
        }
        return Recipe(ops, options=options)

    def calibration(self, batches, *, model=None, algorithms=("minmax",), channels=False):
        keys = [k for c in self.capabilities.values() for k in c.activations]
        samples = sum(len(next(iter(batch.values()))) for batch in batches)
        target = self.model if model is None else model
        return Calibrator(
            lambda inputs, observers: self.adaptor.observe(target, inputs, observers),
            lambda: iter(batches),
            tuple(dict.fromkeys(keys)),
            [samples],
            algorithms,
            keys if channels else (),
        ).calibration(samples)

    def quantize(self, batches, **recipe):
        return self.adaptor.quantize(self.model, self.best(**recipe), self.calibration(batches))

    def executed_types(self, model):
        return [node.op_type for node in optimized_graph(model).node]


@pytest.fixture
def net():
    return Net


@pytest.fixture
def workbench():
    return Workbench


@pytest.fixture
def residual_model():
    return residual_cnn()


@pytest.fixture
def attention_model():
    return attention_block()


@pytest.fixture
def images():
    rng = np.random.default_rng(3)
    return [{"x": rng.normal(size=(8, 3, 16, 16)).astype(np.float32)} for _ in range(4)]


@pytest.fixture
def sentences():
    rng = np.random.default_rng(3)
    return [{"ids": rng.integers(0, 32, size=(8, 8))} for _ in range(4)]


@pytest.fixture
def snr_db():
    from inc_core.testing.oracle import snr_db

    return snr_db
