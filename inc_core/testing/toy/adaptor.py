"""``ToyAdaptor``: a complete adaptor for toy models; read it before you write your own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.errors import QuantizationError, UnsupportedModelError
from inc_core.hookspecs.adaptor import Adaptor, LatencyTable
from inc_core.quant.bias import bias_correction
from inc_core.quant.calibrator import Calibration
from inc_core.quant.observers import Observer
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorKey, TensorSpec
from inc_core.quant.weights import quantize_weight
from inc_core.testing.toy.kernels import feeds_of, run
from inc_core.testing.toy.model import (
    MODEL_FILE,
    ToyModel,
    ToyNode,
    load_model,
    save_model,
    to_parts,
)
from inc_core.testing.toy.rewrites import equalizable_pairs, equalize
from inc_core.testing.toy.training import ToyNet, ToyTraining

__all__ = ["GROUP_SIZE", "ToyAdaptor"]

GROUP_SIZE = 16
# seconds of a mode relative to float, as real kernels would have them
_SPEED = {"fp32": 1.0, "static": 0.4, "dynamic": 0.6, "weight_only": 0.9}
_ALGORITHMS = ("minmax", "kl", "mse", "percentile")


class ToyAdaptor(ToyTraining, Adaptor):
    """Runs toy models; every ability of an adaptor is there, in its simplest form."""

    def load(self, source: Any) -> ToyModel:
        """Return the model of a directory, of its ``model.json``, or the ``ToyModel`` given."""
        if isinstance(source, ToyModel):
            return source
        if isinstance(source, ToyNet):
            return source.to_model()
        if not isinstance(source, (str, Path)):
            raise UnsupportedModelError(
                f"a toy model is a directory or a ToyModel, received {type(source).__name__}"
            )
        path = Path(source)
        return load_model(path.parent if path.name == MODEL_FILE else path)

    def capabilities(self, model: ToyModel) -> Sequence[OpCapability]:
        """Offer integers for every ``Linear``; ``Add`` is float only; the rest costs nothing."""
        return tuple(
            self._linear(model, node) if node.type == "Linear" else _float_only(node)
            for node in model.nodes
            if node.type in ("Linear", "Add")
        )

    def _linear(self, model: ToyModel, node: ToyNode) -> OpCapability:
        static = static_configs() if self.context.approach in ("static", "auto", "qat") else ()
        dynamic = dynamic_configs() if self.context.approach in ("dynamic", "auto") else ()
        weight_only = weight_only_configs(node) if self.context.approach == "weight_only" else ()
        configs = (*static, *dynamic, *weight_only, FP32)
        return OpCapability(
            op=node.key,
            configs=configs,
            activations=(TensorKey(node.inputs[0]),),
            group=node.group,
            note="" if len(configs) > 1 else f"inputs are no multiple of {GROUP_SIZE} features",
            first=node.inputs[0] in model.inputs,
        )

    def predict(self, model: ToyModel, inputs: Any) -> Any:
        """Run one batch; one array for one output, else a tuple."""
        outputs = run(model, feeds_of(model, inputs))
        return outputs[0] if len(outputs) == 1 else outputs

    def observe(
        self, model: ToyModel, batches: Iterable[Any], observers: Mapping[TensorKey, Observer]
    ) -> None:
        """Feed each observer with its tensor, batch by batch."""
        _check_keys(model, observers)

        def tap(name: str, value: npt.NDArray[Any]) -> None:
            observer = observers.get(TensorKey(name))
            if observer is not None:
                observer.update(value)

        for inputs in batches:
            run(model, feeds_of(model, inputs), tap)

    def quantize(self, model: ToyModel, recipe: Recipe, calibration: Calibration) -> ToyModel:
        """Return a new model in which each ``Linear`` runs its config."""
        known = {node.key: node for node in model.nodes}
        unknown = [op.name for op in recipe.ops if op not in known]
        if unknown:
            raise QuantizationError(f"the recipe names {unknown[0]!r}: no such op in this model")
        corrected = "bias_correction" in recipe.options
        return model.with_nodes(
            quantize_linear(known[op], config, calibration, corrected)
            for op, config in recipe.ops.items()
            if config.is_quantized
        )

    def save(self, model: ToyModel, directory: Path) -> None:
        """Write ``model.json`` and ``weights.npz``."""
        save_model(model, directory)

    def restore(self, directory: Path) -> ToyModel:
        """Read them."""
        return load_model(directory)

    def export_formats(self) -> Mapping[str, str]:
        """Offer the arrays alone."""
        return {"npz": "the arrays of all nodes"}

    def export(self, model: ToyModel, path: Path, format: str) -> None:
        """Write the arrays."""
        np.savez(path, **to_parts(model)[1])

    def digest(self, model: ToyModel) -> str:
        """Hash the description and every array."""
        description, arrays = to_parts(model)
        digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def versions(self) -> Mapping[str, str]:
        """Return numpy's version: it alone computes."""
        return {"numpy": np.__version__}

    def rewrites(self, model: ToyModel) -> Sequence[str]:
        """Offer equalization where there is a pair for it, bias correction for any ``Linear``."""
        equalization = ["cross_layer_equalization"] if equalizable_pairs(model) else []
        correction = ["bias_correction"] if any(n.type == "Linear" for n in model.nodes) else []
        return equalization + correction

    def rewrite(self, model: ToyModel, options: Sequence[str]) -> ToyModel:
        """Equalize if asked to; bias correction belongs to ``quantize``."""
        return equalize(model) if "cross_layer_equalization" in options else model

    def executed(self, model: ToyModel) -> Mapping[OpKey, str]:
        """Return what each op really runs: always what its config says."""
        return {
            node.key: node.config.precision
            for node in model.nodes
            if node.type in ("Linear", "Add")
        }

    def time_ops(
        self,
        model: ToyModel,
        capabilities: Sequence[OpCapability],
        sample_inputs: Any,
        known: MutableMapping[str, Sequence[float]],
    ) -> LatencyTable:
        """Count multiplications at 1 ns each, by a fixed factor for each mode: no clock is read."""
        count = len(next(iter(feeds_of(model, sample_inputs).values())))
        nodes = {node.key: node for node in model.nodes}
        return LatencyTable(
            {
                c.op: {
                    config: 1e-9 * count * nodes[c.op].arrays["weight"].size * _SPEED[config.mode]
                    for config in c.configs
                }
                for c in capabilities
                if "weight" in nodes[c.op].arrays
            }
        )

    def integer_weights(self, model: ToyModel) -> Mapping[str, npt.NDArray[Any]]:
        """Return the integer weight of each quantized ``Linear`` by the op's name."""
        return {
            node.name: node.arrays["q_weight"] for node in model.nodes if "q_weight" in node.arrays
        }


def static_configs() -> tuple[OpConfig, ...]:
    """Return u8 activations by every algorithm, with s8 weights per channel, then per tensor."""
    return tuple(
        OpConfig("static", TensorSpec("uint8", "asym", algorithm=algorithm), weight)
        for weight in _int8_weights()
        for algorithm in _ALGORITHMS
    )


def dynamic_configs() -> tuple[OpConfig, ...]:
    """Return u8 activations whose range each batch gives, with s8 weights."""
    activation = TensorSpec("uint8", "asym")
    return tuple(OpConfig("dynamic", activation, weight) for weight in _int8_weights())


def weight_only_configs(node: ToyNode) -> tuple[OpConfig, ...]:
    """Return int4 groups where the input features divide into them."""
    if node.arrays["weight"].shape[1] % GROUP_SIZE:
        return ()
    spec = TensorSpec("int4", "sym", "per_group", group_size=GROUP_SIZE)
    return (OpConfig("weight_only", weight=spec),)


def _int8_weights() -> tuple[TensorSpec, ...]:
    return (TensorSpec("int8", "sym", "per_channel"), TensorSpec("int8", "sym", "per_tensor"))


def _float_only(node: ToyNode) -> OpCapability:
    return OpCapability(node.key, (FP32,), note=f"toy has no integer kernel for {node.type}")


def _check_keys(model: ToyModel, observers: Mapping[TensorKey, Observer]) -> None:
    known = {*model.inputs, *(node.name for node in model.nodes)}
    unknown = [key for key in observers if key.op not in known or key.port]
    if unknown:
        raise QuantizationError(f"no tensor {unknown[0]!r} in this model")


def quantize_linear(
    node: ToyNode, config: OpConfig, calibration: Calibration, corrected: bool
) -> ToyNode:
    """Return one ``Linear`` with integer weights, and its bias corrected if asked for."""
    if node.type != "Linear" or node.config.is_quantized or config.weight is None:
        raise QuantizationError(
            f"{node.name!r} ({node.type}, {node.config.mode}) cannot run {config}"
        )
    weight = node.arrays["weight"]
    q_weight, weight_qparams = quantize_weight(weight, config.weight, axis=0)
    qparams = {"weight": weight_qparams}
    key = TensorKey(node.inputs[0])
    if config.mode == "static":
        assert config.activation is not None
        qparams["input"] = calibration.qparams(key, config.activation)
    bias = node.arrays["bias"]
    mean = calibration.channel_mean(key) if corrected else None
    if mean is not None:
        bias = bias + bias_correction(weight, weight_qparams.dequantize(q_weight), mean)
    arrays = {"q_weight": q_weight, "bias": bias}
    return replace(node, arrays=arrays, config=config, qparams=qparams)
