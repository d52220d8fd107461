"""What is worked out once for a float model and serves every recipe of it.

``GraphPlan`` is for traced models, ``LayerPlan`` for those that run their own code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, fx, nn

from inc_core.errors import CalibrationError, QuantizationError, did_you_mean
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32, OpCapability, OpConfig, TensorKey
from inc_torch.capabilities import capabilities
from inc_torch.inputs import named_tensors, ordered_tensors
from inc_torch.leaves import INPUT, leaf_graphs, with_leaves
from inc_torch.model import ModelFacts, TorchModel
from inc_torch.naming import nodes_by_name, op_name
from inc_torch.observe import Tapped, TappedLayers
from inc_torch.op_table import Row
from inc_torch.quantize import WeightCache, quantized_graph
from inc_torch.shapes import with_shapes
from inc_torch.signature import InputInfo, Signature
from inc_torch.static.prepare import attribute
from inc_torch.weight_only.chosen import Chosen, ChosenWeights, Sink, weight_only
from inc_torch.weight_only.collect import collect_statistics
from inc_torch.weight_only.streaming import stream_statistics

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration
    from inc_core.quant.observers import Observer

_READ = "the model's own code reads its weight beside calling it, and expects floats"

__all__ = ["GraphPlan", "LayerPlan", "Plan", "Runs", "make_plan"]


class Runs(Protocol):
    """Something that runs one batch."""

    def run(self, tensors: Sequence[Tensor], samples: int) -> None:
        """Run tensors in the order of the signature."""


class Plan(Protocol):
    """What an adaptor needs of a model."""

    capabilities: tuple[OpCapability, ...]

    def tapped(self, observers: Mapping[TensorKey, Observer]) -> Runs:
        """Return the model with observers on its tensors."""

    def quantize(self, recipe: Recipe, calibration: Calibration) -> TorchModel:
        """Return the model that runs a recipe."""


def make_plan(model: TorchModel, table: Sequence[Row], inputs: Sequence[str] = ()) -> Plan:
    """Return the plan of a model; it holds the model's parts, not the model.

    Args:
        model: Float.
        table: The rows of the run.
        inputs: Names of the model's inputs, where the user gave them.
    """
    if model.facts.traced:
        return GraphPlan(model.graph, model.facts, table, inputs)
    return LayerPlan(model.body, model.facts, table, inputs)


class GraphPlan:
    """The plan of a traced model.

    Args:
        graph: Normalized, with names.
        facts: Of the model.
        table: The rows of the run.
        inputs: Names of the model's inputs, where the user gave them.
    """

    def __init__(
        self,
        graph: fx.GraphModule,
        facts: ModelFacts,
        table: Sequence[Row],
        inputs: Sequence[str] = (),
    ) -> None:
        self._graph = with_shapes(graph, facts.signature)
        self._facts, self._table = facts, table
        self._inputs = tuple(inputs)
        self._weights = WeightCache()
        self._chosen = ChosenWeights()

    @cached_property
    def capabilities(self) -> tuple[OpCapability, ...]:
        """Every op, in execution order."""
        return capabilities(self._graph, self._table)

    @cached_property
    def observed(self) -> frozenset[TensorKey]:
        """Every tensor whose range some op may need."""
        return frozenset(key for one in self.capabilities for key in one.activations)

    def tapped(self, observers: Mapping[TensorKey, Observer]) -> Tapped:
        """Return the graph with observers on its tensors."""
        return Tapped(self._graph, observers)

    def quantize(
        self, recipe: Recipe, calibration: Calibration, chosen: Chosen | None = None
    ) -> TorchModel:
        """Return the model that runs a recipe, with weights in few bits as they are chosen, if given."""
        configs = _configs(recipe)
        graph = self._graph
        if configs or any(op.name not in self._names for op in recipe.ops):
            graph = quantized_graph(
                graph,
                configs,
                calibration,
                self._table,
                weights=self._weights,
                chosen=chosen or self._choose(configs, calibration),
                observed=self.observed,
                options=recipe.options,
            )
        return TorchModel(graph, replace(self._facts, ops=dict(recipe.ops)))

    def _choose(self, configs: Mapping[str, OpConfig], calibration: Calibration) -> Chosen:
        wanted = weight_only(configs)
        nodes = nodes_by_name(self._graph) if wanted else {}
        weights = {
            name: attribute(self._graph, str(nodes[name].args[1].target))
            for name in wanted
            if name in nodes
        }

        def observe(names: Sequence[str], sink: Sink) -> None:
            signature = self._facts.signature
            assert signature is not None  # a traced model has one
            batches = [
                ordered_tensors(signature, inputs, self._inputs) for inputs in calibration.inputs()
            ]
            layers = [nodes[name] for name in names]
            stream_statistics(
                self._graph, layers, batches, lambda node, found: sink(op_name(node), found)
            )

        return self._chosen.choose(
            {name: wanted[name] for name in weights}, weights, calibration, observe
        )

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(one.op.name for one in self.capabilities)


class LayerPlan:
    """The plan of a model that runs its own code: each layer is a graph of one op.

    Args:
        module: The user's module.
        facts: Of the model.
        table: The rows of the run.
        inputs: Names of the model's inputs, where the user gave them.
    """

    def __init__(
        self,
        module: nn.Module,
        facts: ModelFacts,
        table: Sequence[Row],
        inputs: Sequence[str] = (),
    ) -> None:
        self._module, self._facts = module, facts
        self._inputs = tuple(inputs)
        self._chosen = ChosenWeights()
        # as it is before the first evaluation: each quantized model begins with it
        state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        self._state = {path: state[path].detach().clone() for path in facts.habits.writes}
        layer = ModelFacts(Signature((InputInfo("input", "float32", None),)), traced=True)
        self._layers = {
            path: GraphPlan(graph, layer, table) for path, graph in leaf_graphs(module).items()
        }

    @cached_property
    def capabilities(self) -> tuple[OpCapability, ...]:
        """The layers, in the order in which the module holds them."""
        found = [one for plan in self._layers.values() for one in plan.capabilities]
        reads = self._facts.habits.reads
        return tuple(
            OpCapability(one.op, (FP32,), note=_READ)
            if one.op.name in reads
            else replace(one, first=False)
            for one in found
        )

    def tapped(self, observers: Mapping[TensorKey, Observer]) -> TappedLayers:
        """Return the module with observers on what its layers read and give."""
        layers = {name for name, _ in self._module.named_modules()}
        keys = {key: key.op.removesuffix(INPUT) for key in observers}
        for key, layer in keys.items():
            if layer not in layers or key.port:
                raise CalibrationError(
                    f"the model has no tensor of op {key.op!r}: observe tensors that "
                    "'capabilities' names"
                )
        return TappedLayers(self._module, self._facts, observers, keys, self._state)

    def quantize(self, recipe: Recipe, calibration: Calibration) -> TorchModel:
        """Return a copy of the module in which layers are replaced."""
        for op in recipe.ops:
            if op.name not in self._layers:
                raise QuantizationError(
                    f"the recipe names the op {op.name!r}, which is not there."
                    f"{did_you_mean(op.name, self._layers)}"
                )
        chosen = self._choose(_configs(recipe), calibration)
        leaves = {}
        for op, config in recipe.ops.items():
            if config.mode != "fp32":
                one = Recipe({op: config}, recipe.calib_samples, recipe.options)
                leaves[op.name] = self._layers[op.name].quantize(one, calibration, chosen)
        facts = replace(self._facts, ops=dict(recipe.ops))
        return TorchModel(with_leaves(self._module, leaves, self._state), facts)

    def _choose(self, configs: Mapping[str, OpConfig], calibration: Calibration) -> Chosen:
        wanted = weight_only(configs)
        layers = {name: self._module.get_submodule(name) for name in wanted}

        def observe(names: Sequence[str], sink: Sink) -> None:
            batches = [self._named(inputs) for inputs in calibration.inputs()]
            seen = {name: layers[name] for name in names}
            collect_statistics(seen, batches, lambda batch: self._module(**batch), sink)

        weights = {name: layer.weight.detach() for name, layer in layers.items()}
        return self._chosen.choose(wanted, weights, calibration, observe)

    def _named(self, inputs: Any) -> Mapping[str, Tensor]:
        return named_tensors(self._module, inputs, self._inputs)


def _configs(recipe: Recipe) -> dict[str, OpConfig]:
    return {op.name: config for op, config in recipe.ops.items() if config.mode != "fp32"}
