"""Weights of a module in training, read and written in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from inc_core.errors import TrainingError

__all__ = ["get_gradient", "get_weight", "masker", "set_weight", "weights"]

Array = np.ndarray[Any, Any]

# The first dimension of their weights is that of the output channels.
_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def weights(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the weights of convs and linear layers, by parameter name."""
    return {
        f"{name}.weight" if name else "weight": tuple(layer.weight.shape)
        for name, layer in model.named_modules()
        if isinstance(layer, _WEIGHTED) and isinstance(layer.weight, nn.Parameter)
    }


def get_weight(model: nn.Module, name: str) -> Array:
    """Return a copy, float32."""
    return model.get_parameter(name).detach().cpu().float().numpy().copy()


def set_weight(model: nn.Module, name: str, values: Array) -> None:
    """Overwrite the values of a parameter.

    Raises:
        TrainingError: If the shape is another.
    """
    parameter = model.get_parameter(name)
    if tuple(values.shape) != tuple(parameter.shape):
        raise TrainingError(
            f"weight {name!r} has the shape {tuple(parameter.shape)}, received {tuple(values.shape)}"
        )
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def get_gradient(model: nn.Module, name: str) -> Array | None:
    """Return a copy of the gradient, float32; ``None`` if there is none."""
    gradient = model.get_parameter(name).grad
    return None if gradient is None else gradient.detach().cpu().float().numpy().copy()


def masker(model: nn.Module, masks: Mapping[str, Array]) -> Callable[[], None]:
    """Return a function that multiplies parameters by their masks, on their device."""
    parameters = [model.get_parameter(name) for name in masks]
    factors = [
        torch.from_numpy(mask).to(device=parameter.device, dtype=parameter.dtype)
        for mask, parameter in zip(masks.values(), parameters, strict=True)
    ]

    def apply() -> None:
        with torch.no_grad():
            torch._foreach_mul_(parameters, factors)

    return apply
