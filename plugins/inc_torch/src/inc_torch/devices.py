"""Where models run: on the CPU, or as a copy on a GPU.

A model is traced, calibrated and quantized on the CPU; with ``device: gpu`` what predicts is a copy on the
GPU, made once per model. The operators of the namespace ``inc`` have kernels for both.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx
from torch.fx.node import map_aggregate

from inc_core.errors import ConfigError
from inc_torch.cuda import cuda_status
from inc_torch.cuda.layout import turn_weights
from inc_torch.editing import shared_copy
from inc_torch.leaves import shared_module
from inc_torch.model import TorchModel
from inc_torch.serialize import holder_of, tensors_of_graph

__all__ = ["Placement", "moved"]


class Placement:
    """Runs models on one device; the models themselves stay on the CPU.

    Args:
        device: ``"cpu"`` or ``"gpu"``, as the configuration says it.

    Raises:
        ConfigError: If a GPU is asked for and torch has none.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        self._there: WeakKeyDictionary[TorchModel, TorchModel] = WeakKeyDictionary()
        if device == "gpu" and not torch.cuda.is_available():
            raise ConfigError(
                f"device: gpu, but torch {torch.__version__} finds no GPU; install a build of torch with "
                "CUDA on a machine with an NVIDIA GPU, or say device: cpu"
            )

    def run(self, model: TorchModel, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Run CPU tensors through a model; the results lie where the model ran."""
        if self.device.type == "cpu":
            return model.flat(*tensors)
        if model not in self._there:
            self._there[model] = moved(model, self.device)
        return self._there[model].flat(*(tensor.to(self.device) for tensor in tensors))


def moved(model: TorchModel, device: torch.device | str) -> TorchModel:
    """Return a copy of a model on a device, its weights as the kernels there read them.

    Static int8 ops have kernels on the CPU alone.
    """
    device = torch.device(device)
    # without Triton the reference runs, which reads what CPUs do
    turns = device.type == "cuda" and cuda_status() == "Triton"
    if not model.facts.traced:
        body = shared_module(model.body).to(device)
        for layer in body.modules():
            if turns and isinstance(layer, fx.GraphModule):
                turn_weights(layer)
        return TorchModel(body, model.facts)
    graph = shared_copy(model.graph)
    for node in graph.graph.nodes:
        node.kwargs = map_aggregate(node.kwargs, lambda value: _on(device, value))
        node.args = map_aggregate(node.args, lambda value: _on(device, value))
    tensors = {
        name: tensor.detach().to(device) for name, tensor in tensors_of_graph(model.graph).items()
    }
    there = fx.GraphModule(holder_of(tensors), graph.graph)
    if turns:
        turn_weights(there)
    return TorchModel(there, model.facts)


def _on(device: torch.device, value: Any) -> Any:
    return device if isinstance(value, torch.device) else value
