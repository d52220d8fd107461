"""``TorchTraining``: what ``TorchAdaptor`` can do with modules in training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.hookspecs.training import Distiller, Ranges, SimulatedOp, StepHooks, Trained
from inc_core.quant.spec import OpKey
from inc_torch.training import weights
from inc_torch.training.distillation import make_distiller
from inc_torch.training.loop import train
from inc_torch.training.simulation import prepare, simulation_of

if TYPE_CHECKING:
    from inc_core.config.types import ComponentConfig, TrainConfig

__all__ = ["LEARNED_RANGES", "TorchTraining"]

Array = np.ndarray[Any, Any]

# The switch in `quantization.recipes` that lets ranges follow the batches instead of gradients.
LEARNED_RANGES = "learned_ranges"


class TorchTraining:
    """Every ability of ``inc_core.hookspecs.training``; models in training are the user's modules."""

    context: AdaptorContext

    def trainable(self, source: Any) -> nn.Module:
        """Return a copy of a module, in training mode.

        Raises:
            UnsupportedModelError: If it is no module with code and parameters of its own.
        """
        if not isinstance(source, nn.Module) or not list(source.parameters()):
            raise UnsupportedModelError(
                f"a torch.nn.Module with parameters can be trained, received "
                f"{type(source).__name__}: an exported program or a file has no code to train. Give "
                "the module that it was made from."
            )
        return copy.deepcopy(source).train()

    def prepare_training(
        self, model: nn.Module, ops: Mapping[OpKey, SimulatedOp], ranges: Ranges
    ) -> nn.Module:
        """Make the layers of a module round, in place."""
        learned = self.context.recipes.get(LEARNED_RANGES, True)
        prepare(model, ops, ranges, learned=learned)
        return model

    def finish_training(self, model: nn.Module) -> Trained:
        """Return the module with its own layers again, in evaluation mode."""
        simulation = simulation_of(model)
        ranges = {} if simulation is None else simulation.ranges
        if simulation is not None:
            simulation.end()
        return Trained(model.eval(), ranges)

    def weights(self, model: nn.Module) -> Mapping[str, tuple[int, ...]]:
        """Return the weights of convs and linear layers."""
        return weights.weights(model)

    def get_weight(self, model: nn.Module, name: str) -> Array:
        """Return a copy."""
        return weights.get_weight(model, name)

    def set_weight(self, model: nn.Module, name: str, values: Array) -> None:
        """Overwrite in place."""
        weights.set_weight(model, name, values)

    def get_gradient(self, model: nn.Module, name: str) -> Array | None:
        """Return a copy."""
        return weights.get_gradient(model, name)

    def masker(self, model: nn.Module, masks: Mapping[str, Array]) -> Callable[[], None]:
        """Return what applies masks on the weights' device."""
        return weights.masker(model, masks)

    def train(
        self, model: nn.Module, config: TrainConfig, batches: Iterable[Any], hooks: StepHooks
    ) -> None:
        """Train as configured."""
        train(model, config, batches, hooks)

    def distiller(
        self, student: nn.Module, teacher: nn.Module, criterion: ComponentConfig
    ) -> Distiller:
        """Return what mixes in the teacher's loss."""
        distiller: Distiller = make_distiller(student, teacher, criterion)
        return distiller
