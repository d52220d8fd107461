"""Static ``Conv``: QLinearConv, or Conv between Q/DQ pairs, with the activation behind it absorbed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, helper

from inc_core.quant.bias import bias_correction
from inc_core.quant.spec import OpConfig
from inc_onnx.graph import Graph
from inc_onnx.kernels.bias import fit_weight_to_bias, integer_bias
from inc_onnx.kernels.specs import weighted_rows
from inc_onnx.kernels.stem import find_fold, fold_input, pad_channels, set_attributes
from inc_onnx.topology import source_tensor, tensor_key
from inc_onnx.weights import QuantizedWeight
from inc_onnx.writer import GraphWriter, QuantizedTensor

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration

__all__ = ["KERNELS"]

Array = np.ndarray[Any, Any]


def requires(graph: Graph, node: NodeProto) -> str | None:
    """A float32 conv with constant weight and bias."""
    if not graph.is_float(node.input[0]):
        return "its input is not float32"
    if not graph.is_constant(node.input[1]):
        return "its weight is computed, not constant"
    if len(node.input) > 2 and node.input[2] and not graph.is_constant(node.input[2]):
        return "its bias is computed, not constant"
    return None


def emit(writer: GraphWriter, node: NodeProto, config: OpConfig, calibration: Calibration) -> None:
    """Write the conv with int8 weight, int32 bias and uint8 input and output."""
    fold = find_fold(writer, node)
    x = writer.quantized(node.input[0]) if fold is None else fold_input(writer, node)
    weight, bias = _weight_and_bias(writer, node, config, calibration, x)
    if fold is None:
        x, q_weight = pad_channels(writer, node, x, weight.q_weight)
    else:
        q_weight = fold.weight(weight.q_weight)
        set_attributes(node, fold.attributes)
    stored = writer.stored_weight(node.input[1], q_weight, weight.qparams.scale)
    bias_name = None if bias is None else writer.graph.add_constant(f"{node.name}_bias", bias)
    output = writer.new_output(node)
    if writer.is_qdq:
        inputs = [writer.dequantized(x), dequantized_weight(writer, stored, axis=0)]
        if bias_name is not None:
            inputs.append(dequantized_bias(writer, bias_name, x, weight))
        writer.wrap(node, inputs, output)
        return
    tail = [] if bias_name is None else [bias_name]
    inputs = [*x.parts, *stored, output.scale, output.zero_point, *tail]
    writer.replace(node, "QLinearConv", inputs, output.name, **attributes(node))


def _weight_and_bias(
    writer: GraphWriter,
    node: NodeProto,
    config: OpConfig,
    calibration: Calibration,
    x: QuantizedTensor,
) -> tuple[QuantizedWeight, Array | None]:
    assert config.weight is not None  # every row of this module has one
    values = writer.source.constant(node.input[1])
    assert values is not None  # see requires
    quantized = writer.weight(node.input[1], config.weight, axis=0)
    bias = float_bias(writer.source, node, 2)
    if "bias_correction" in writer.options:
        bias = np.zeros(values.shape[0], np.float32) if bias is None else bias
        key = tensor_key(writer.source, source_tensor(writer.source, node.input[0]))
        mean = calibration.channel_mean(key)
        if mean is not None:
            rounded = quantized.qparams.dequantize(quantized.q_weight)
            bias = bias + bias_correction(values, rounded, mean)
    if bias is None:
        return quantized, None
    x_scale = float(x.qparams.scale)
    quantized = fit_weight_to_bias(values, quantized, bias, x_scale, axis=0)
    return quantized, integer_bias(bias, x_scale, quantized.qparams.scale)


def float_bias(graph: Graph, node: NodeProto, position: int) -> Array | None:
    """Return the constant bias of a node; ``None`` if it has none."""
    if len(node.input) <= position or not node.input[position]:
        return None
    return graph.constant(node.input[position])


def attributes(node: NodeProto) -> dict[str, Any]:
    """Return a node's attributes by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def dequantized_weight(writer: GraphWriter, stored: tuple[str, str, str], axis: int) -> str:
    """Return a float weight behind a ``DequantizeLinear`` of the stored integers."""
    output = writer.graph.fresh(f"{stored[0]}_dequantized")
    per_channel = bool(writer.graph.shape(stored[1]))
    writer.graph.add_node("DequantizeLinear", stored, [output], axis=axis if per_channel else None)
    return output


def dequantized_bias(
    writer: GraphWriter, name: str, x: QuantizedTensor, weight: QuantizedWeight
) -> str:
    """Return a float bias behind a ``DequantizeLinear`` of the stored int32."""
    scale = np.float32(x.qparams.scale) * weight.qparams.scale.astype(np.float32)
    inputs = [
        name,
        writer.graph.add_constant(f"{name}_scale", np.asarray(scale, np.float32)),
        writer.graph.add_constant(f"{name}_zero_point", np.zeros(scale.shape, np.int32)),
    ]
    output = writer.graph.fresh(f"{name}_dequantized")
    writer.graph.add_node("DequantizeLinear", inputs, [output], axis=0 if scale.ndim else None)
    return output


KERNELS = weighted_rows(["Conv"], requires, emit)
