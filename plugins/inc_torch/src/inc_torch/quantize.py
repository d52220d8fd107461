"""From a float graph and a recipe to the graph that runs it; tensors that stay are shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import fx

from inc_core.errors import QuantizationError, did_you_mean
from inc_core.quant.bias import bias_correction
from inc_core.quant.calibrator import Calibration
from inc_core.quant.qparams import QParams
from inc_core.quant.spec import OpConfig, TensorKey, TensorSpec
from inc_core.quant.weights import weight_qparams
from inc_torch.capabilities import find_row
from inc_torch.editing import Editor
from inc_torch.naming import nodes_by_name, op_name, op_type, tensor_key
from inc_torch.op_table import Row
from inc_torch.static import StaticConfig, lower, tensors_of
from inc_torch.static.graphs import Draft, copy_graph
from inc_torch.weight_only import Chosen

__all__ = ["BIAS_CORRECTION", "WeightCache", "quantized_graph"]

BIAS_CORRECTION = "bias_correction"


class WeightCache:
    """Scales of weights, chosen once for all recipes of one float model."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, TensorSpec], QParams] = {}

    def qparams(self, name: str, weight: torch.Tensor, spec: TensorSpec) -> QParams:
        """Return the quantization of the weight of that name."""
        key = (name, spec)
        if key not in self._found:
            self._found[key] = weight_qparams(weight.detach().numpy(), spec, axis=0)
        return self._found[key]


def quantized_graph(
    graph: fx.GraphModule,
    configs: Mapping[str, OpConfig],
    calibration: Calibration,
    table: Sequence[Row],
    *,
    weights: WeightCache,
    chosen: Chosen | None = None,
    observed: frozenset[TensorKey] = frozenset(),
    options: Sequence[str] = (),
) -> fx.GraphModule:
    """Return a graph in which the named ops run their configs.

    Args:
        graph: A normalized float graph with names; not changed.
        configs: By op name; what is not named stays float32.
        calibration: Gives the ranges of static ops.
        table: The rows of the run.
        weights: Of this float graph.
        chosen: The weights of weight-only ops.
        observed: Tensors whose ranges can be asked for beyond those that must be there.
        options: Model-wide options in force.

    Raises:
        QuantizationError: If there is no such op, or it cannot run its config.
    """
    editor = Editor(copy_graph(graph), chosen)
    nodes = nodes_by_name(editor.module)
    for name in configs:
        if name not in nodes:
            raise QuantizationError(
                f"the recipe names the op {name!r}, which is not there.{did_you_mean(name, nodes)}"
            )
    static: dict[str, OpConfig] = {}
    for name, config in configs.items():
        node = nodes[name]
        row = find_row(editor.module, node, config, table)
        if row is None:
            raise QuantizationError(f"{name!r} ({op_type(node)}) cannot run as {config}")
        if BIAS_CORRECTION in options and config.weight is not None:
            _correct_bias(editor, node, config.weight, calibration, weights)
        if row.emit is None:
            static[name] = config
        else:
            row.emit(editor, node, config, calibration)
    if not static:
        return editor.finish()
    return _lower_static(editor.finish(Draft), static, calibration, weights, observed)


def _lower_static(
    graph: fx.GraphModule,
    configs: Mapping[str, OpConfig],
    calibration: Calibration,
    weights: WeightCache,
    observed: frozenset[TensorKey],
) -> fx.GraphModule:
    nodes = nodes_by_name(graph)
    static = {nodes[name].name: config for name, config in configs.items()}
    decisions = {}
    for name, config in configs.items():
        weight = None
        if config.weight is not None:
            read = nodes[name].args[1]
            value = Editor(graph).tensor(read)
            assert value is not None and isinstance(read, fx.Node)
            weight = weights.qparams(str(read.target), value, config.weight)
        decisions[nodes[name].name] = StaticConfig(weight)
    qparams = _activation_qparams(graph, static, calibration, observed)
    return lower(graph, decisions, qparams)


def _activation_qparams(
    graph: fx.GraphModule,
    static: Mapping[str, OpConfig],
    calibration: Calibration,
    observed: frozenset[TensorKey],
) -> dict[str, QParams]:
    """Return the quantization of what static ops read, then of what they give; readers decide."""
    nodes = {node.name: node for node in graph.graph.nodes}
    wanted = tensors_of(graph, static)
    found: dict[str, QParams] = {}
    for results in (False, True):
        for name, config in static.items():
            tensors = wanted[name][-1:] if results else wanted[name][:-1]
            for tensor in tensors:
                key = tensor_key(nodes[tensor])
                assert config.activation is not None
                if tensor not in found and (not results or key in observed):
                    found[tensor] = calibration.qparams(key, config.activation)
    return found


def _correct_bias(
    editor: Editor,
    node: fx.Node,
    spec: TensorSpec,
    calibration: Calibration,
    weights: WeightCache,
) -> None:
    """Take the mean error that the rounded weight causes off the bias, where the mean is known."""
    mean = calibration.channel_mean(tensor_key(node.args[0]))
    weight = editor.tensor(node.args[1])
    if mean is None or weight is None or spec.granularity == "per_group":
        return
    values = weight.detach().numpy()
    if mean.size % values.shape[1]:
        return  # means of another dimension: an input that is no image and no row of features
    qparams = weights.qparams(str(node.args[1].target), weight, spec)
    error = bias_correction(values, qparams.dequantize(qparams.quantize(values)), mean)
    bias = editor.tensor(node.args[2]) if len(node.args) > 2 else None
    old = np.zeros_like(error) if bias is None else bias.detach().numpy()
    with editor.graph.inserting_before(node):
        new = editor.buffer(f"{op_name(node)}_bias", torch.from_numpy(old + error))
    node.args = (*node.args[:2], new, *node.args[3:])
