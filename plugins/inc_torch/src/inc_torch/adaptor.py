"""``TorchAdaptor``: PyTorch behind inc's adaptor contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from inc_core.errors import DataError, UnsupportedModelError
from inc_core.hookspecs.adaptor import Adaptor, AdaptorContext, LatencyTable
from inc_core.quant.batching import batch_length
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpCapability, OpConfig, OpKey, TensorKey
from inc_torch.artefact import parts_of, restore_model, save_model
from inc_torch.capture import UntraceableError, capture
from inc_torch.devices import Placement
from inc_torch.executed import executed, kernels_on
from inc_torch.formats import export_checkpoint
from inc_torch.habits import Habits, habits_of
from inc_torch.inputs import named_tensors, ordered_tensors, to_arrays
from inc_torch.leaves import leaf_layers, linearized, with_leaves
from inc_torch.model import ModelFacts, TorchModel
from inc_torch.onnx import export_onnx
from inc_torch.op_table import op_table
from inc_torch.optimer import time_layers
from inc_torch.plan import Plan, make_plan
from inc_torch.quantize import BIAS_CORRECTION
from inc_torch.rewrite import EQUALIZATION, equalizable, equalize
from inc_torch.sensitivity import Sweep
from inc_torch.signature import InputInfo, Signature
from inc_torch.source import read_source
from inc_torch.training.ability import LEARNED_RANGES, TorchTraining

if TYPE_CHECKING:
    from inc_core.quant.calibrator import Calibration
    from inc_core.quant.observers import Observer

__all__ = ["TorchAdaptor"]


class TorchAdaptor(TorchTraining, Adaptor):
    """Quantizes ``torch.nn.Module``s; models are ``TorchModel``, modules themselves.

    A model is traced on one batch into a graph of torch's operators. One that cannot be traced runs
    its own code, and is quantized layer by layer.
    """

    devices = ("cpu", "gpu")
    switches = (LEARNED_RANGES,)

    def __init__(self, context: AdaptorContext) -> None:
        super().__init__(context)
        self._table = op_table(context)
        self._placement = Placement(context.device)
        # of each model what serves all of its recipes, as long as the model lives
        self._plans: WeakKeyDictionary[TorchModel, Plan] = WeakKeyDictionary()

    def load(self, source: Any) -> TorchModel:
        """Return the float model, in evaluation mode; see ``inc_torch.source``."""
        return read_source(source)

    def trace(self, model: TorchModel, inputs: Any) -> TorchModel:
        """Return the model as a graph traced on one batch, or with its inputs named."""
        if model.facts.traced:
            return model
        named = named_tensors(model.body, inputs, self.context.inputs)
        try:
            graph, signature = capture(model.body, named)
        except UntraceableError as error:
            infos = tuple(
                InputInfo(name, str(t.dtype).removeprefix("torch."), (None,) * t.dim())
                for name, t in named.items()
            )
            facts = replace(model.facts, signature=Signature(infos), obstacle=str(error))
            body = linearized(model.body)
            return TorchModel(body, replace(facts, habits=_habits(body, named)))
        return TorchModel(graph, ModelFacts(signature=signature, traced=True))

    def capabilities(self, model: TorchModel) -> Sequence[OpCapability]:
        """Return what the op table offers for each op."""
        return self._plan(model).capabilities

    @torch.inference_mode()
    def predict(self, model: TorchModel, inputs: Any) -> Any:
        """Run one batch; float64 inputs become float32 and integers what the model takes."""
        tensors = self._tensors(model, inputs)
        try:
            return to_arrays(self._placement.run(model, tensors))
        except (RuntimeError, TypeError, IndexError, ValueError) as error:
            raise DataError(f"the model cannot run this batch: {error}") from error

    @torch.inference_mode()
    def observe(
        self, model: TorchModel, batches: Iterable[Any], observers: Mapping[TensorKey, Observer]
    ) -> None:
        """Run batches with taps; what is not needed whole is reduced by torch on the way."""
        tapped = self._plan(model).tapped(observers)
        for inputs in batches:
            tapped.run(self._tensors(model, inputs), batch_length(inputs))

    def quantize(self, model: TorchModel, recipe: Recipe, calibration: Calibration) -> TorchModel:
        """Return the model that runs ``recipe``; weights that stay float are shared."""
        return self._plan(model).quantize(recipe, calibration)

    def save(self, model: TorchModel, directory: Path) -> None:
        """Write ``model.json`` and ``model.safetensors``: the graph and its tensors, no pickle."""
        save_model(model, directory)

    def restore(self, directory: Path) -> TorchModel:
        """Read what ``save`` wrote."""
        return restore_model(directory)

    def export_formats(self) -> Mapping[str, str]:
        """Return ONNX, and the checkpoints of weight-only models."""
        return {
            "onnx": "a file of ONNX opset 17, static int8 between QuantizeLinear and DequantizeLinear",
            "gptq": "a directory with a checkpoint of a weight-only model, in the layout of GPTQ",
            "compressed-tensors": "a directory with such a checkpoint in the layout of vLLM",
        }

    def export(self, model: TorchModel, path: Path, format: str) -> None:
        """Write a model in one of these formats."""
        if format == "onnx":
            export_onnx(model, path)
        else:
            export_checkpoint(model, path, format)

    def digest(self, model: TorchModel) -> str:
        """Hash the graph and every tensor, but for state that the model's own code changes as it runs."""
        content, tensors = parts_of(model)
        tensors = {n: one for n, one in tensors.items() if n not in model.facts.habits.writes}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def versions(self) -> Mapping[str, str]:
        """Return the version of torch, and which kernels of ours are used."""
        return {
            "torch": str(torch.__version__),
            "inc_torch kernels": kernels_on(self.context.device),
        }

    def restore_into(self, directory: Path, source: Any) -> TorchModel:
        """Read what ``save`` wrote, with the float module of a model that could not be traced.

        Args:
            directory: Where it was saved.
            source: The module, or ``"package.module:function"``, which is called for it.
        """
        module = read_source(_resolved(source))
        return restore_model(directory, module.body)

    def rewrites(self, model: TorchModel) -> Sequence[str]:
        """Return the model-wide options that change anything."""
        static = any(
            config.mode == "static" for one in self.capabilities(model) for config in one.configs
        )
        if not model.facts.traced or not static:
            return ()
        return (*((EQUALIZATION,) if equalizable(model.graph) else ()), BIAS_CORRECTION)

    def rewrite(self, model: TorchModel, options: Sequence[str]) -> TorchModel:
        """Apply cross-layer equalization if it is named."""
        return equalize(model) if EQUALIZATION in options else model

    def channel_factors(self, model: TorchModel) -> Mapping[TensorKey, np.ndarray[Any, Any]]:
        """Return by what equalization divided the channels of a rewritten model's tensors."""
        return model.facts.factors

    def executed(self, model: TorchModel) -> Mapping[OpKey, str]:
        """Return the precision of each op, and which of our kernels runs it if one does."""
        return executed(model.facts.ops, self.context.device)

    def time_ops(
        self,
        model: TorchModel,
        capabilities: Sequence[OpCapability],
        sample_inputs: Any,
        known: MutableMapping[str, Sequence[float]],
    ) -> LatencyTable:
        """Return the seconds of each layer in each kind of config; of traced models on the CPU."""
        if not model.facts.traced or self.context.device == "gpu":
            return LatencyTable({})
        tensors = self._tensors(model, sample_inputs)
        return time_layers(model.graph, self._table, capabilities, tensors, known)

    def sensitivity(
        self, model: TorchModel, wanted: Mapping[OpKey, Sequence[OpConfig]], batches: Iterable[Any]
    ) -> Mapping[OpKey, Mapping[OpConfig, float]] | None:
        """Return what rounding each op does to the outputs, from one backward sweep."""
        if not model.facts.traced:
            return None
        sweep = Sweep(model.graph, wanted)
        for inputs in batches:
            sweep.add(self._tensors(model, inputs))
        return sweep.scores()

    def integer_weights(self, model: TorchModel) -> Mapping[str, np.ndarray[Any, Any]]:
        """Return the stored integer weights by the name under which the module holds them."""
        _, tensors = parts_of(model)
        return {
            name: tensor.numpy()
            for name, tensor in tensors.items()
            if tensor.dtype in (torch.int8, torch.uint8) and tensor.dim() > 1
        }

    def _tensors(self, model: TorchModel, inputs: Any) -> list[torch.Tensor]:
        if model.facts.signature is None:
            return list(named_tensors(model.body, inputs, self.context.inputs).values())
        return ordered_tensors(model.facts.signature, inputs, self.context.inputs)

    def _plan(self, model: TorchModel) -> Plan:
        if model not in self._plans:
            self._plans[model] = make_plan(model, self._table, self.context.inputs)
        return self._plans[model]


def _habits(body: nn.Module, inputs: Mapping[str, torch.Tensor]) -> Habits:
    try:
        return habits_of(body, leaf_layers(body), lambda layers: with_leaves(body, layers), inputs)
    # anyone's code, on a batch that was not run yet: what is wrong shows where it is run in earnest
    except Exception:  # noqa: BLE001
        return Habits()


def _resolved(source: Any) -> Any:
    """Return what ``"package.module:function"`` gives; anything else as it is."""
    if not isinstance(source, str) or ":" not in source:
        return source
    module, _, name = source.partition(":")
    try:
        return getattr(import_module(module), name)()
    except (ImportError, AttributeError) as error:
        raise UnsupportedModelError(
            f"{source!r} names no function that can be imported ({error})"
        ) from error
