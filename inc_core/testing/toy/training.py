"""``ToyNet``: a toy model that can be trained, by hand-written gradients and plain SGD.

A training function of a user looks like this::

    def train(net):
        for epoch in range(5):
            hooks.on_epoch_begin(epoch)
            for batch, (x, labels) in enumerate(data):
                hooks.on_step_begin(batch)
                net.backward(cross_entropy_gradient(net.forward(x), labels))
                hooks.on_before_optimizer_step()
                net.step(learning_rate=0.1)
                hooks.on_step_end()
            hooks.on_epoch_end()
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inc_core.errors import ConfigError, UnsupportedModelError
from inc_core.hookspecs.training import Ranges, SimulatedOp, StepHooks, Trained
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.spec import OpConfig, OpKey, TensorKey
from inc_core.quant.weights import quantize_weight
from inc_core.testing.toy.model import ToyModel, ToyNode

if TYPE_CHECKING:
    from inc_core.config.types import ComponentConfig, TrainConfig

__all__ = ["ToyNet", "ToyTraining", "cross_entropy", "cross_entropy_gradient"]

Array = npt.NDArray[Any]

# Of the running range of a tensor that is simulated; a batch moves it this far towards its own.
_RANGE_MOMENTUM = 0.1


class ToyNet:
    """A net of one input and one output whose ``Linear`` layers can be trained.

    Attributes:
        model: The model that it came from.
        arrays: ``weight`` and ``bias`` by layer and name, writable; what is trained.
        gradients: The same, after ``backward``.
        configs: Of the layers whose integer arithmetic is simulated.
        ranges: Of the inputs of these layers, so far.
        observing: Whether ``forward`` moves ranges.
    """

    def __init__(self, model: ToyModel) -> None:
        self.model = model
        self.arrays = {
            (node.name, part): np.array(array)
            for node in model.nodes
            if node.type == "Linear"
            for part, array in node.arrays.items()
        }
        self.gradients: dict[tuple[str, str], Array] = {}
        self.configs: dict[str, OpConfig] = {}
        self.ranges: dict[TensorKey, tuple[float, float]] = {}
        self.observing = True
        self._values: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Return the logits of a batch ``(batch, features)`` and remember every tensor."""
        (name,) = self.model.inputs
        self._values = {name: np.asarray(x, np.float32)}
        for node in self.model.nodes:
            self._values[node.name] = self._run(node, [self._values[n] for n in node.inputs])
        return self._values[self.model.outputs[0]]

    def backward(self, gradient: Array) -> None:
        """Fill ``gradients`` from that of the loss by the logits of the last ``forward``.

        Rounding passes gradients through: the straight-through estimator.
        """
        flowing = {self.model.outputs[0]: gradient}
        for node in reversed(self.model.nodes):
            arriving = flowing.pop(node.name, None)
            if arriving is None:
                continue
            for name, value in zip(node.inputs, self._backward(node, arriving), strict=True):
                flowing[name] = flowing[name] + value if name in flowing else value

    def step(self, learning_rate: float) -> None:
        """Move every array against its gradient."""
        for key, gradient in self.gradients.items():
            self.arrays[key] -= np.float32(learning_rate) * gradient

    def to_model(self) -> ToyModel:
        """Return the float model with the present weights."""
        return self.model.with_nodes(
            replace(node, arrays={p: self.arrays[node.name, p] for p in node.arrays})
            for node in self.model.nodes
            if node.type == "Linear"
        )

    def _run(self, node: ToyNode, inputs: list[Array]) -> Array:
        if node.type == "Linear":
            weight, bias = self.arrays[node.name, "weight"], self.arrays[node.name, "bias"]
            config = self.configs.get(node.name)
            if config is not None:
                inputs = [self._rounded_input(node, config, inputs[0])]
                weight = _rounded_weight(weight, config)
            return inputs[0] @ weight.T + bias
        if node.type == "Relu":
            return np.maximum(inputs[0], 0)
        if node.type == "Add":
            return inputs[0] + inputs[1]
        return inputs[0] * node.arrays["factor"]

    def _backward(self, node: ToyNode, gradient: Array) -> list[Array]:
        inputs = [self._values[name] for name in node.inputs]
        if node.type == "Linear":
            self.gradients[node.name, "weight"] = gradient.T @ inputs[0]
            self.gradients[node.name, "bias"] = gradient.sum(axis=0)
            return [gradient @ self.arrays[node.name, "weight"]]
        if node.type == "Relu":
            return [gradient * (inputs[0] > 0)]
        if node.type == "Add":
            return [gradient, gradient]
        return [gradient * node.arrays["factor"]]

    def _rounded_input(self, node: ToyNode, config: OpConfig, x: Array) -> Array:
        assert config.activation is not None
        key = TensorKey(node.inputs[0])
        lo, hi = float(min(x.min(), 0)), float(max(x.max(), 0))
        old_lo, old_hi = self.ranges.get(key, (lo, hi))
        lo = old_lo + _RANGE_MOMENTUM * (lo - old_lo)
        hi = old_hi + _RANGE_MOMENTUM * (hi - old_hi)
        if self.observing:
            self.ranges[key] = (lo, hi)
        else:
            lo, hi = old_lo, old_hi
        qparams = choose_qparams(lo, hi, config.activation)
        return qparams.dequantize(qparams.quantize(x))


def _rounded_weight(weight: Array, config: OpConfig) -> Array:
    assert config.weight is not None
    q_weight, qparams = quantize_weight(weight, config.weight, axis=0)
    return qparams.dequantize(q_weight)


class ToyTraining(abc.ABC):
    """What ``ToyAdaptor`` can do with nets in training: every ability of ``hookspecs.training``."""

    @abc.abstractmethod
    def load(self, source: Any) -> ToyModel:
        """Return the float model of a source."""

    def trainable(self, source: Any) -> ToyNet:
        """Return a net of whatever ``load`` takes, a net included."""
        model = self.load(source)
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise UnsupportedModelError(
                f"toy models of one input and one output can be trained, this one has "
                f"{len(model.inputs)} and {len(model.outputs)}"
            )
        return ToyNet(model)

    def prepare_training(
        self, model: ToyNet, ops: Mapping[OpKey, SimulatedOp], ranges: Ranges
    ) -> ToyNet:
        """Simulate static layers."""
        model.configs = {key.name: op.config for key, op in ops.items()}
        model.ranges = dict(ranges)
        return model

    def finish_training(self, model: ToyNet) -> Trained:
        """Return the float model and the ranges that were simulated last."""
        simulated = {TensorKey(model.model.node(name).inputs[0]) for name in model.configs}
        ranges = {key: found for key, found in model.ranges.items() if key in simulated}
        return Trained(model.to_model(), ranges)

    def weights(self, model: ToyNet) -> Mapping[str, tuple[int, ...]]:
        """Return the weight of each ``Linear`` as ``name.weight``."""
        return {
            f"{name}.{part}": array.shape
            for (name, part), array in model.arrays.items()
            if part == "weight"
        }

    def get_weight(self, model: ToyNet, name: str) -> Array:
        """Return a copy."""
        return np.array(model.arrays[_key(name)])

    def set_weight(self, model: ToyNet, name: str, values: Array) -> None:
        """Overwrite in place."""
        model.arrays[_key(name)][...] = values

    def get_gradient(self, model: ToyNet, name: str) -> Array | None:
        """Return a copy of what ``backward`` left."""
        gradient = model.gradients.get(_key(name))
        return None if gradient is None else np.array(gradient)

    def train(
        self, model: ToyNet, config: TrainConfig, batches: Iterable[Any], hooks: StepHooks
    ) -> None:
        """Train by SGD on the cross entropy; nothing else is known here."""
        if config.optimizer.name != "SGD" or config.criterion.name not in _CRITERIA:
            raise ConfigError(
                f"toy nets are trained by SGD on {' or '.join(_CRITERIA)}, received "
                f"{config.optimizer.name!r} and {config.criterion.name!r}"
            )
        rate = (config.optimizer.parameters or {}).get("learning_rate", 0.001)
        for epoch in config.epochs:
            hooks.on_epoch_begin(epoch)
            for index, (x, labels) in enumerate(batches):
                if index == config.iteration:
                    break
                hooks.on_step_begin(index)
                logits = model.forward(x)
                loss = ToyLoss(
                    cross_entropy(logits, labels), cross_entropy_gradient(logits, labels)
                )
                loss = hooks.on_after_compute_loss(x, logits, loss)
                model.backward(loss.gradient)
                hooks.on_before_optimizer_step()
                model.step(rate)
                hooks.on_step_end()
            hooks.on_epoch_end()

    def distiller(self, student: Any, teacher: Any, criterion: ComponentConfig) -> ToyDistiller:
        """Return what mixes the teacher's answers in, at the weights of the criterion."""
        if criterion.name != "KnowledgeDistillationLoss":
            raise ConfigError(f"toy nets know KnowledgeDistillationLoss, not {criterion.name!r}")
        return ToyDistiller(teacher, **(criterion.parameters or {}))


_CRITERIA = ("CrossEntropyLoss", "KnowledgeDistillationLoss")


class ToyLoss:
    """A value and its gradient by the logits."""

    def __init__(self, value: float, gradient: Array) -> None:
        self.value = value
        self.gradient = gradient


class ToyDistiller:
    """Mixes the loss by labels and the one by the teacher's probabilities.

    Args:
        teacher: A net.
        loss_weights: Of the loss by labels, and of the one by the teacher.
    """

    def __init__(self, teacher: ToyNet, loss_weights: tuple[float, float] = (0.5, 0.5)) -> None:
        self.teacher = teacher
        self.loss_weights = loss_weights

    def loss(self, inputs: Any, output: Any, loss: ToyLoss, teacher_output: Any = None) -> ToyLoss:
        """Return the weighted sum."""
        if teacher_output is None:
            teacher_output = self.teacher.forward(inputs)
        soft = _softmax(teacher_output)
        own, taught = self.loss_weights
        probabilities = _softmax(output)
        value = -float((soft * np.log(probabilities + 1e-9)).sum(axis=1).mean())
        gradient = (probabilities - soft) / len(output)
        return ToyLoss(own * loss.value + taught * value, own * loss.gradient + taught * gradient)


def cross_entropy(logits: Array, labels: Array) -> float:
    """Return the mean loss of a batch."""
    return -float(np.log(_softmax(logits)[np.arange(len(labels)), labels] + 1e-9).mean())


def cross_entropy_gradient(logits: Array, labels: Array) -> Array:
    """Return the gradient of ``cross_entropy`` by the logits, float32 ``(batch, classes)``."""
    gradient = _softmax(logits)
    gradient[np.arange(len(labels)), labels] -= 1
    return np.asarray(gradient / len(labels), np.float32)


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _key(name: str) -> tuple[str, str]:
    layer, _, part = name.rpartition(".")
    return layer, part
