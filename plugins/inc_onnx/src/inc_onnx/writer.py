"""``GraphWriter``: builds a quantized graph from a float one; kernels write through it.

Every tensor keeps its float name. Its integer form, where there is one, has a name of its own; the
float form is restored by one ``DequantizeLinear`` if a float op or the caller still reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import NodeProto, helper

from inc_core.quant.qparams import QParams
from inc_core.quant.spec import TensorKey, TensorSpec
from inc_onnx.graph import Graph
from inc_onnx.plan import StaticPlan
from inc_onnx.topology import fused_activation, moved_input, output_tensor, tensor_key
from inc_onnx.weights import QuantizedWeight, WeightCache

__all__ = ["MICROSOFT", "GraphWriter", "OutputFormat", "QuantizedTensor", "integer_tensors"]

MICROSOFT = "com.microsoft"
# which float tensors are integers now: lets a quantized model be observed under the float model's keys
_TENSORS_PROPERTY = "inc_onnx.tensors"
OutputFormat = Literal["qdq", "qoperator"]


@dataclass(frozen=True)
class QuantizedTensor:
    """The integer form of a tensor: names of its values, scale and zero point, and their values."""

    name: str
    scale: str
    zero_point: str
    qparams: QParams

    @property
    def parts(self) -> tuple[str, str, str]:
        """Name, scale and zero point: the order in which quantized ops take them."""
        return self.name, self.scale, self.zero_point


class GraphWriter:
    """A quantized graph in the making.

    Args:
        source: The float graph; it is not changed.
        output_format: Whether kernels write Q/DQ pairs around float ops, or quantized ops.
        weights: Cache of the float model.
        plan: Scales of the static ops.

    Attributes:
        graph: The graph under change. It starts as a copy of ``source``.
        options: Names of the recipe's model-wide options, such as ``"bias_correction"``.
    """

    def __init__(
        self,
        source: Graph,
        graph: Graph,
        *,
        output_format: OutputFormat,
        weights: WeightCache,
        plan: StaticPlan,
        options: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.graph = graph
        self.output_format = output_format
        self.weights = weights
        self.plan = plan
        self.options = frozenset(options)
        self._source_nodes = {node.name: node for node in source.nodes}
        self._tensors: dict[str, QuantizedTensor] = {}
        self._made: set[str] = set()
        self._constants: dict[Any, str] = {}

    @property
    def is_qdq(self) -> bool:
        """Whether the output is float ops between Q/DQ pairs."""
        return self.output_format == "qdq"

    # -- reading -----------------------------------------------------------------------------

    def quantized(self, tensor: str) -> QuantizedTensor:
        """Return the integer form of a tensor; a ``QuantizeLinear`` is added where none exists yet."""
        if tensor not in self._tensors:
            made = self._new_tensor(tensor)
            constant = self.source.constant(tensor)
            if constant is None:
                inputs = (tensor, made.scale, made.zero_point)
                self.graph.add_node("QuantizeLinear", inputs, [made.name])
            else:
                name = self.graph.add_constant(made.name, made.qparams.quantize(constant))
                made = QuantizedTensor(name, made.scale, made.zero_point, made.qparams)
            self._tensors[tensor] = made
        return self._tensors[tensor]

    def is_integer(self, tensor: str) -> bool:
        """Whether a quantized op gives a tensor, as integers."""
        return tensor in self._made

    def quantized_copy(self, tensor: str, moved: str) -> QuantizedTensor:
        """Return the integer form of ``moved``, which holds the values of a float tensor elsewhere."""
        made = self._new_tensor(tensor)
        self.graph.add_node("QuantizeLinear", (moved, made.scale, made.zero_point), [made.name])
        return made

    def dequantized(self, tensor: QuantizedTensor) -> str:
        """Return a float tensor behind a new ``DequantizeLinear``: each reader has its own."""
        output = self.graph.fresh(f"{tensor.name}_dequantized")
        self.graph.add_node("DequantizeLinear", tensor.parts, [output])
        return output

    def weight(self, name: str, spec: TensorSpec, axis: int) -> QuantizedWeight:
        """Return an initializer quantized under ``spec``, from the cache of the float model."""
        values = self.source.constant(name)
        assert values is not None  # the kernel's requirements ask for a constant weight
        return self.weights.quantized(name, values, spec, axis)

    def constant(self, key: Any, name: str, value: np.ndarray[Any, Any]) -> str:
        """Return the initializer added for ``key``, added now under a name like ``name`` if new."""
        if key not in self._constants:
            self._constants[key] = self.graph.add_constant(name, value)
        return self._constants[key]

    def stored_weight(
        self, name: str, q_weight: np.ndarray[Any, Any], scale: np.ndarray[Any, Any]
    ) -> tuple[str, str, str]:
        """Add an int8 weight with scale and zero point 0; return the three names."""
        scale = np.asarray(scale, np.float32)
        return (
            self.graph.add_constant(f"{name}_quantized", q_weight.astype(np.int8)),
            self.graph.add_constant(f"{name}_scale", scale),
            self.graph.add_constant(f"{name}_zero_point", np.zeros(scale.shape, np.int8)),
        )

    # -- writing -----------------------------------------------------------------------------

    def output_of(self, node: NodeProto) -> str:
        """Return the tensor that a node of the source gives, behind its fused activation."""
        return output_tensor(self.source, self._source_nodes[node.name])

    def new_output(self, node: NodeProto) -> QuantizedTensor:
        """Declare that a node now gives its output as integers, its fused activation included."""
        source_node = self._source_nodes[node.name]
        tensor = output_tensor(self.source, source_node)
        activation = fused_activation(self.source, source_node)
        if activation is not None:
            self.graph.remove(self._own(activation.output[0]))
        return self._declare(tensor, self._new_tensor(tensor))

    def replace(
        self,
        node: NodeProto,
        op_type: str,
        inputs: Sequence[str],
        output: str,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> None:
        """Put a quantized op in the place of a node, under its name."""
        name = node.name
        self.graph.remove(node)
        new = self.graph.add_node(op_type, inputs, [output], domain=domain, **attributes)
        new.name = name

    def wrap(self, node: NodeProto, inputs: Sequence[str], output: QuantizedTensor | None) -> None:
        """Let a float node read dequantized inputs, and quantize what it gives (Q/DQ form)."""
        self.graph.set_inputs(node, inputs)
        if output is None:
            return
        raw = self.graph.fresh(f"{node.output[0]}_raw")
        self.graph.set_outputs(node, [raw, *list(node.output)[1:]])
        self.graph.add_node("QuantizeLinear", (raw, output.scale, output.zero_point), [output.name])

    def move(self, node: NodeProto) -> None:
        """Let a pass-through op work on integers if its input is there as integers."""
        tensor = moved_input(self.source, node)
        if tensor is None or tensor not in self._made:
            return
        moved = self._tensors[tensor]
        outputs = list(node.output)
        names = [self.graph.fresh(f"{output}_quantized") if output else "" for output in outputs]
        self.graph.set_inputs(node, [moved.name, *list(node.input)[1:]])
        self.graph.set_outputs(node, names)
        for output, name in zip(outputs, names, strict=True):
            self._declare(
                output, QuantizedTensor(name, moved.scale, moved.zero_point, moved.qparams)
            )

    def finish(self) -> onnx.ModelProto:
        """Restore the float form of integer tensors that are still read, and return the model."""
        rows = []
        for tensor in sorted(self._made):
            parts = self._tensors[tensor].parts
            rows.append([*tensor_key(self.source, tensor), *parts])
            self._keep_weights_float(tensor, self._tensors[tensor])
            if self.graph.consumers(tensor) or tensor in self.graph.outputs:
                self.graph.add_node("DequantizeLinear", parts, [tensor])
        proto = self.graph.proto()
        if rows:
            helper.set_model_props(
                proto, {**_properties(proto), _TENSORS_PROPERTY: json.dumps(rows)}
            )
        return proto

    def _keep_weights_float(self, tensor: str, made: QuantizedTensor) -> None:
        """Give the float ops with weights that read a tensor a conversion with a scale per channel.

        The scales are equal. Since 1.21, ONNX Runtime quantizes float weights between
        ``DequantizeLinear`` and ``QuantizeLinear`` of its own accord, with one scale per tensor, unless
        the input has several.
        """
        for node in self.graph.consumers(tensor):
            channels = _channels_read(self.graph, node)
            if node.input[0] != tensor or channels is None:
                continue
            key = (float(made.qparams.scale), int(made.qparams.zero_point), channels)
            names = [
                self.constant((key, what), f"{tensor}_{what}s", np.full(channels, value, dtype))
                for what, value, dtype in (
                    ("scale", made.qparams.scale, np.float32),
                    ("zero_point", made.qparams.zero_point, np.uint8),
                )
            ]
            output = self.graph.fresh(f"{tensor}_by_channel")
            self.graph.add_node("DequantizeLinear", [made.name, *names], [output], axis=1)
            self.graph.set_inputs(node, [output, *list(node.input)[1:]])

    def _declare(self, tensor: str, made: QuantizedTensor) -> QuantizedTensor:
        self._tensors[tensor] = made
        self._made.add(tensor)
        return made

    def _new_tensor(self, tensor: str) -> QuantizedTensor:
        qparams = self.plan.qparams(tensor)
        key = (float(qparams.scale), int(qparams.zero_point), qparams.dtype)
        scale = self.constant((key, "scale"), f"{tensor}_scale", _scalar(qparams.scale, np.float32))
        zero_point = self.constant(
            (key, "zero_point"), f"{tensor}_zero_point", _scalar(qparams.zero_point, np.uint8)
        )
        name = self.graph.fresh(f"{tensor}_quantized")
        return QuantizedTensor(name, scale, zero_point, qparams)

    def _own(self, tensor: str) -> NodeProto:
        node = self.graph.producer(tensor)
        assert node is not None  # the writer's graph starts as a copy of the source
        return node


def _channels_read(graph: Graph, node: NodeProto) -> int | None:
    """Return the length of an op's input in its second dimension, if it has weights in the model."""
    shape = graph.shape(node.input[1]) if len(node.input) > 1 else None
    if shape is None or len(shape) < 2 or not graph.is_constant(node.input[1]):
        return None
    found: int | None = None
    if node.op_type == "Conv":
        found = int(shape[1] or 0) * int(graph.attribute(node, "group", 1))
    elif node.op_type == "ConvTranspose":
        found = shape[0]
    elif node.op_type == "Gemm" and not graph.attribute(node, "transA", 0):
        found = shape[1] if graph.attribute(node, "transB", 0) else shape[0]
    return found


def integer_tensors(proto: onnx.ModelProto) -> dict[TensorKey, tuple[str, str, str]]:
    """Return which tensors of the float model a quantized one holds as integers, and their parts."""
    rows = json.loads(_properties(proto).get(_TENSORS_PROPERTY, "[]"))
    return {TensorKey(op, port): (name, scale, zero) for op, port, name, scale, zero in rows}


def _properties(proto: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in proto.metadata_props}


def _scalar(value: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    return np.asarray(value, dtype).reshape(())
