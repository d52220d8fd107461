"""Models with random, distinct weights, as torch's exporter writes them (opset 17).

Weights are distinct on purpose: ONNX Runtime shares equal initializers, so that a model of repeated
weights looks faster than it is. Their scale keeps activations of all layers in a sane range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Builder:
    """Collects the nodes and weights of one graph; every method returns the new tensor's name."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._counts: dict[str, int] = {}

    def op(self, op_type: str, inputs: Sequence[str], scope: str = "", **attributes: Any) -> str:
        """Add a node named like torch's exporter does: ``/scope/OpType_3``."""
        stem = f"{scope}/{op_type}"
        number = self._counts.get(stem, 0)
        self._counts[stem] = number + 1
        name = f"{stem}_{number}" if number else stem
        self.nodes.append(
            helper.make_node(op_type, inputs, [f"{name}_output_0"], name=name, **attributes)
        )
        return f"{name}_output_0"

    def weight(self, name: str, value: np.ndarray[Any, Any]) -> str:
        """Add an initializer."""
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def normal(self, name: str, shape: Sequence[int], deviation: float) -> str:
        """Add an initializer of normally distributed values."""
        return self.weight(name, (self.rng.standard_normal(shape) * deviation).astype(np.float32))

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], output: str, shape: Sequence[Any]
    ) -> onnx.ModelProto:
        """Finish: give the output tensor the name ``output``."""
        for node in self.nodes:
            node.output[:] = ["output" if name == output else name for name in node.output]
            node.input[:] = ["output" if name == output else name for name in node.input]
        result = helper.make_tensor_value_info("output", TensorProto.FLOAT, list(shape))
        graph = helper.make_graph(self.nodes, "main_graph", list(inputs), [result], self.weights)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=8)


# -- CNNs ------------------------------------------------------------------------------------


class _Cnn(Builder):
    """Convolutions with the batch normalization already folded in, as the exporter leaves them."""

    def conv(
        self,
        x: str,
        cin: int,
        cout: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        gain: float = 2.0,
        scope: str,
    ) -> str:
        fan_in = cin // groups * kernel * kernel
        name = scope.strip("/").replace("/", ".")
        weight = self.normal(
            f"{name}.weight", (cout, cin // groups, kernel, kernel), (gain / fan_in) ** 0.5
        )
        bias = self.normal(f"{name}.bias", (cout,), 0.05)
        pad = kernel // 2
        return self.op(
            "Conv",
            [x, weight, bias],
            scope,
            dilations=[1, 1],
            group=groups,
            kernel_shape=[kernel, kernel],
            pads=[pad] * 4,
            strides=[stride, stride],
        )

    def classifier(self, x: str, features: int, classes: int = 1000) -> str:
        pooled = self.op("GlobalAveragePool", [x], "/avgpool")
        flat = self.op("Flatten", [pooled], "", axis=1)
        weight = self.normal("fc.weight", (classes, features), features**-0.5)
        bias = self.normal("fc.bias", (classes,), 0.05)
        return self.op("Gemm", [flat, weight, bias], "/fc", alpha=1.0, beta=1.0, transB=1)


def image_input() -> onnx.ValueInfoProto:
    """Return the input of both CNNs, float32 ``(batch, 3, 224, 224)``."""
    return helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 224, 224])


def resnet50(seed: int = 0) -> onnx.ModelProto:
    """Build ResNet-50; input ``(batch, 3, 224, 224)``, output ``(batch, 1000)``."""
    b = _Cnn(seed)
    x = b.op("Relu", [b.conv("input", 3, 64, 7, stride=2, scope="/conv1")], "/relu")
    x = b.op(
        "MaxPool", [x], "/maxpool", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2], ceil_mode=0
    )
    channels = 64
    for stage, (planes, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 1 else 1
            scope = f"/layer{stage}/layer{stage}.{block}"
            x = _bottleneck(b, x, channels, planes, stride, scope)
            channels = planes * 4
    return b.model([image_input()], b.classifier(x, channels), ["batch", 1000])


def _bottleneck(b: _Cnn, x: str, cin: int, planes: int, stride: int, scope: str) -> str:
    cout = planes * 4
    y = b.op("Relu", [b.conv(x, cin, planes, 1, scope=f"{scope}/conv1")], f"{scope}/relu")
    y = b.conv(y, planes, planes, 3, stride=stride, scope=f"{scope}/conv2")
    y = b.op("Relu", [y], f"{scope}/relu")
    # a small last layer keeps the sum over 16 residual blocks bounded, as batch normalization does
    y = b.conv(y, planes, cout, 1, gain=0.3, scope=f"{scope}/conv3")
    if stride != 1 or cin != cout:
        x = b.conv(x, cin, cout, 1, stride=stride, gain=1.0, scope=f"{scope}/downsample")
    return b.op("Relu", [b.op("Add", [y, x], scope)], f"{scope}/relu")


def mobilenetv2(seed: int = 0) -> onnx.ModelProto:
    """Build MobileNetV2; input ``(batch, 3, 224, 224)``, output ``(batch, 1000)``."""
    b = _Cnn(seed)
    bounds = [b.weight(f"relu6.{x}", np.array(x, np.float32)) for x in (0, 6)]

    def relu6(x: str, scope: str) -> str:
        return b.op("Clip", [x, *bounds], scope)

    x = relu6(b.conv("input", 3, 32, 3, stride=2, scope="/features.0"), "/features.0")
    cin, number = 32, 1
    for expand, cout, repeats, first_stride in _MOBILENETV2:
        for repeat in range(repeats):
            scope, stride = f"/features.{number}", first_stride if repeat == 0 else 1
            hidden, y = cin * expand, x
            if expand != 1:
                y = relu6(b.conv(y, cin, hidden, 1, scope=f"{scope}/expand"), scope)
            y = b.conv(
                y, hidden, hidden, 3, stride=stride, groups=hidden, scope=f"{scope}/depthwise"
            )
            y = b.conv(relu6(y, scope), hidden, cout, 1, gain=1.0, scope=f"{scope}/project")
            x = b.op("Add", [x, y], scope) if stride == 1 and cin == cout else y
            cin, number = cout, number + 1
    x = relu6(b.conv(x, 320, 1280, 1, scope="/features.18"), "/features.18")
    return b.model([image_input()], b.classifier(x, 1280), ["batch", 1000])


_MOBILENETV2 = (  # expansion, channels, repeats, stride: Sandler et al. 2018, table 2
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


# -- transformers ----------------------------------------------------------------------------


def bert(
    layers: int = 12,
    *,
    batch: int = 1,
    sequence: int = 128,
    hidden: int = 768,
    heads: int = 12,
    vocabulary: int = 30522,
    seed: int = 0,
) -> onnx.ModelProto:
    """Build a BERT encoder with a classifier over two classes.

    Inputs are int64 ``input_ids`` and ``attention_mask`` of shape ``(batch, sequence)``, fixed as in
    an export with example inputs; the output is float32 ``(batch, 2)``. A ``batch`` of 0 stays open, as
    with ``dynamic_axes``: the targets of every ``Reshape`` are then computed from shapes.
    """
    b = _Bert(batch, sequence, hidden, heads, seed)
    mask = b.mask()
    x = b.embeddings(vocabulary)
    for layer in range(layers):
        x = b.layer(x, mask, f"/encoder/layer.{layer}")
    first = b.weight("first_token", np.array(0, np.int64))
    x = b.op("Gather", [x, first], "/pooler", axis=1)
    x = b.op("Tanh", [b.gemm(x, hidden, hidden, "/pooler/dense")], "/pooler/activation")
    x = b.gemm(x, hidden, 2, "/classifier")
    shape = [batch or "batch", sequence]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask")
    ]
    return b.model(inputs, x, [batch or "batch", 2])


def bert_inputs(batch: int, rng: np.random.Generator, sequence: int = 128) -> dict[str, Any]:
    """Return random token ids and a mask without padding."""
    ids = rng.integers(0, 30522, (batch, sequence), dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones((batch, sequence), np.int64)}


class _Bert(Builder):
    def __init__(self, batch: int, sequence: int, hidden: int, heads: int, seed: int) -> None:
        super().__init__(seed)
        self.batch, self.hidden, self.sequence = batch, hidden, sequence
        self.heads, self.depth = heads, hidden // heads
        self.root = self.weight("root", np.array(self.depth**0.5, np.float32))

    def mask(self) -> str:
        """0 for real tokens, the smallest float for padding, ``(batch, 1, 1, sequence)``."""
        x = "attention_mask"
        for axis in (1, 2):
            axes = self.weight(f"axis_{axis}", np.array([axis], np.int64))
            x = self.op("Unsqueeze", [x, axes])
        x = self.op("Cast", [x], to=TensorProto.FLOAT)
        x = self.op("Sub", [self.weight("one", np.array(1.0, np.float32)), x])
        lowest = self.weight("lowest", np.array(np.finfo(np.float32).min, np.float32))
        return self.op("Mul", [x, lowest])

    def embeddings(self, vocabulary: int) -> str:
        words = self.normal("embeddings.word.weight", (vocabulary, self.hidden), 0.02)
        x = self.op("Gather", [words, "input_ids"], "/embeddings/word")
        places = self.normal("embeddings.position", (1, self.sequence, self.hidden), 0.02)
        return self.layer_norm(self.op("Add", [x, places], "/embeddings"), "/embeddings/LayerNorm")

    def layer(self, x: str, mask: str, scope: str) -> str:
        y = self.attention(x, mask, f"{scope}/attention/self")
        y = self.linear(y, self.hidden, self.hidden, f"{scope}/attention/output/dense")
        x = self.op("Add", [y, x], f"{scope}/attention/output")
        x = self.layer_norm(x, f"{scope}/attention/output/LayerNorm")
        y = self.linear(x, self.hidden, 4 * self.hidden, f"{scope}/intermediate/dense")
        y = self.gelu(y, f"{scope}/intermediate/act")
        y = self.linear(y, 4 * self.hidden, self.hidden, f"{scope}/output/dense")
        return self.layer_norm(
            self.op("Add", [y, x], f"{scope}/output"), f"{scope}/output/LayerNorm"
        )

    def attention(self, x: str, mask: str, scope: str) -> str:
        q, k, v = (
            self.heads_of(self.linear(x, self.hidden, self.hidden, f"{scope}/{part}"), scope, perm)
            for part, perm in (
                ("query", [0, 2, 1, 3]),
                ("key", [0, 2, 3, 1]),
                ("value", [0, 2, 1, 3]),
            )
        )
        scores = self.op("Div", [self.op("MatMul", [q, k], scope), self.root], scope)
        scores = self.op("Softmax", [self.op("Add", [scores, mask], scope)], scope, axis=-1)
        context = self.op("MatMul", [scores, v], scope)
        context = self.op("Transpose", [context], scope, perm=[0, 2, 1, 3])
        return self.op("Reshape", [context, self.target(context, scope, self.hidden)], scope)

    def heads_of(self, x: str, scope: str, perm: list[int]) -> str:
        """Split the last dimension into heads and transpose."""
        target = self.target(x, scope, self.heads, self.depth)
        return self.op("Transpose", [self.op("Reshape", [x, target], scope)], scope, perm=perm)

    def target(self, x: str, scope: str, *tail: int) -> str:
        """Return the target of a ``Reshape`` to ``(batch, sequence, *tail)``."""
        name = f"{scope}/target_{len(self.weights)}"
        if self.batch:
            return self.weight(name, np.array([self.batch, self.sequence, *tail], np.int64))
        shape, parts = self.op("Shape", [x], scope), []
        for place in (0, 1):
            index = self.weight(f"{name}_index_{place}", np.array(place, np.int64))
            axes = self.weight(f"{name}_axes_{place}", np.array([0], np.int64))
            one = self.op("Gather", [shape, index], scope, axis=0)
            parts.append(self.op("Unsqueeze", [one, axes], scope))
        parts.append(self.weight(name, np.array(tail, np.int64)))
        return self.op("Concat", parts, scope, axis=0)

    def linear(self, x: str, cin: int, cout: int, scope: str) -> str:
        name = scope.strip("/").replace("/", ".")
        weight = self.normal(f"{name}.weight_t", (cin, cout), cin**-0.5)
        bias = self.normal(f"{name}.bias", (cout,), 0.02)
        return self.op("Add", [bias, self.op("MatMul", [x, weight], scope)], scope)

    def gemm(self, x: str, cin: int, cout: int, scope: str) -> str:
        name = scope.strip("/").replace("/", ".")
        weight = self.normal(f"{name}.weight", (cout, cin), cin**-0.5)
        bias = self.normal(f"{name}.bias", (cout,), 0.02)
        return self.op("Gemm", [x, weight, bias], scope, alpha=1.0, beta=1.0, transB=1)

    def layer_norm(self, x: str, scope: str) -> str:
        name = scope.strip("/").replace("/", ".")
        gain = self.rng.normal(1.0, 0.05, self.hidden).astype(np.float32)
        inputs = [x, self.weight(f"{name}.weight", gain)]
        inputs.append(self.normal(f"{name}.bias", (self.hidden,), 0.05))
        return self.op("LayerNormalization", inputs, scope, axis=-1, epsilon=1e-12)

    def gelu(self, x: str, scope: str) -> str:
        """Decomposed with ``Erf``, as the exporter writes it below opset 20."""
        root = self.weight(f"{scope}.root", np.array(2**0.5, np.float32))
        one = self.weight(f"{scope}.one", np.array(1.0, np.float32))
        half = self.weight(f"{scope}.half", np.array(0.5, np.float32))
        y = self.op("Erf", [self.op("Div", [x, root], scope)], scope)
        y = self.op("Mul", [x, self.op("Add", [y, one], scope)], scope)
        return self.op("Mul", [y, half], scope)
