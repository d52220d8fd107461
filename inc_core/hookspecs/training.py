"""Abilities of adaptors whose models can be trained: weights in place, simulated integers, a loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from inc_core.quant.spec import OpConfig, OpKey, TensorKey

if TYPE_CHECKING:
    from inc_core.config.types import ComponentConfig, TrainConfig

__all__ = [
    "Distiller",
    "Distills",
    "NativeMasks",
    "Ranges",
    "SimulatedOp",
    "StepHooks",
    "Trainable",
    "Trained",
    "TrainingLoop",
    "WeightAccess",
]

Array = np.ndarray[Any, Any]
Ranges = Mapping[TensorKey, tuple[float, float]]


@dataclass(frozen=True)
class SimulatedOp:
    """A static op as a training simulates it: its config, and the ``activations`` of its capability."""

    config: OpConfig
    activations: tuple[TensorKey, ...]


@runtime_checkable
class Trainable(Protocol):
    """Ability: hand out models that a training function of the framework can train.

    ``trainable`` gives an independent float model in the user's own type, ``prepare_training`` makes
    it compute as the quantized ops of a recipe would, and ``finish_training`` takes it back.
    """

    def trainable(self, source: Any) -> Any:
        """Return a copy, ready to be trained, of what the user gave; or of a trained model.

        Raises:
            UnsupportedModelError: If this kind of source cannot be trained (a frozen graph).
        """

    def prepare_training(self, model: Any, ops: Mapping[OpKey, SimulatedOp], ranges: Ranges) -> Any:
        """Return ``model`` (changed in place, or new) with the rounding of integers simulated.

        Args:
            model: From ``trainable``.
            ops: The static ops to simulate, in the forward pass only; gradients pass through
                rounding. What cannot be simulated is left alone.
            ranges: Where calibration data was at hand, the range of each tensor, to start from.
                Other ranges are taken from the first batches of the training.
        """

    def finish_training(self, model: Any) -> Trained:
        """Return what was learnt; ``model`` may be used for nothing else afterwards."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves.

    Attributes:
        source: A float model of the user's type, as ``Adaptor.load`` takes it.
        ranges: The learnt range of each simulated tensor, from which ``choose_qparams`` gives the
            very scale and zero point that the training simulated.
    """

    source: Any
    ranges: Ranges = field(default_factory=dict)


@runtime_checkable
class WeightAccess(Protocol):
    """Ability: read and write weights of a model from ``Trainable.trainable``, in place.

    Only weights of convs and matmuls count, not biases or norms. The first dimension is that of the
    output channels, the second that of the input channels.
    """

    def weights(self, model: Any) -> Mapping[str, tuple[int, ...]]:
        """Return the shape of each weight by name, in execution order."""

    def get_weight(self, model: Any, name: str) -> Array:
        """Return a copy of a weight, float32."""

    def set_weight(self, model: Any, name: str, values: Array) -> None:
        """Overwrite a weight of the same shape, so that the running training sees it."""

    def get_gradient(self, model: Any, name: str) -> Array | None:
        """Return a copy of the gradient of a weight, float32; ``None`` if there is none now."""


@runtime_checkable
class NativeMasks(Protocol):
    """Ability beside ``WeightAccess``: set weights to zero where they live; a step costs little."""

    def masker(self, model: Any, masks: Mapping[str, Array]) -> Callable[[], None]:
        """Return a function that zeroes every weight where its mask, bool, is false."""


class StepHooks(Protocol):
    """What a training loop calls, in this order; each is optional for loops of users.

    ``on_epoch_begin(epoch)``, then for each batch ``on_step_begin(batch)``, forward pass and loss,
    ``loss = on_after_compute_loss(inputs, outputs, loss)``, backward pass,
    ``on_before_optimizer_step()``, the optimizer's step, ``on_step_end()``; at last ``on_epoch_end()``.
    """

    def on_epoch_begin(self, epoch: int) -> None:
        """Told before the first batch of an epoch, counted from 0."""

    def on_step_begin(self, batch_id: int) -> None:
        """Told before each batch, counted from 0 in each epoch."""

    def on_after_compute_loss(
        self, inputs: Any, student_output: Any, student_loss: Any, teacher_output: Any = None
    ) -> Any:
        """Return the loss to be used in place of ``student_loss``; all native tensors."""

    def on_before_optimizer_step(self) -> None:
        """Told when gradients are there and weights are still the old ones."""

    def on_step_end(self) -> None:
        """Told after the optimizer's step."""

    def on_epoch_end(self) -> None:
        """Told after the last batch of an epoch."""


@runtime_checkable
class TrainingLoop(Protocol):
    """Ability beside ``Trainable``: train as the configuration says, without a user's function."""

    def train(
        self, model: Any, config: TrainConfig, batches: Iterable[Any], hooks: StepHooks
    ) -> None:
        """Train in place.

        Args:
            model: From ``trainable`` or ``prepare_training``.
            config: Optimizer, criterion and epochs; names and parameters are the adaptor's to check.
            batches: Batches ``(inputs, labels)``, iterated once per epoch.
            hooks: To be called as ``StepHooks`` says.

        Raises:
            ConfigError: If an optimizer or criterion, or one of their parameters, is unknown.
        """


class Distiller(Protocol):
    """Adds what a teacher says to the loss of its student."""

    def loss(self, inputs: Any, output: Any, loss: Any, teacher_output: Any = None) -> Any:
        """Return the combined loss; without ``teacher_output`` the teacher is run on ``inputs``."""


@runtime_checkable
class Distills(Protocol):
    """Ability beside ``Trainable``: losses of knowledge distillation."""

    def distiller(self, student: Any, teacher: Any, criterion: ComponentConfig) -> Distiller:
        """Return what combines the losses; ``teacher`` is frozen, as ``trainable`` gave it.

        Raises:
            ConfigError: If the criterion, or one of its parameters, is unknown.
        """
