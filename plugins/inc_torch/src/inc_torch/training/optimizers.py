"""Optimizers by the names and parameters of configurations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from inc_core.config.types import ComponentConfig
from inc_core.errors import ConfigError, did_you_mean

__all__ = ["make_optimizer"]

# by optimizer: torch's class, and by name in configurations torch's name for each parameter
_OPTIMIZERS: Mapping[str, tuple[Any, Mapping[str, str]]] = {
    "SGD": (
        torch.optim.SGD,
        {
            "learning_rate": "lr",
            "momentum": "momentum",
            "nesterov": "nesterov",
            "weight_decay": "weight_decay",
        },
    ),
    "Adam": (
        torch.optim.Adam,
        {
            "learning_rate": "lr",
            "beta_1": "beta_1",
            "beta_2": "beta_2",
            "epsilon": "eps",
            "amsgrad": "amsgrad",
        },
    ),
    "AdamW": (
        torch.optim.AdamW,
        {
            "learning_rate": "lr",
            "beta_1": "beta_1",
            "beta_2": "beta_2",
            "epsilon": "eps",
            "amsgrad": "amsgrad",
            "weight_decay": "weight_decay",
        },
    ),
}
_BETAS = (0.9, 0.999)
_LEARNING_RATE = 0.001


def make_optimizer(config: ComponentConfig, parameters: Iterable[nn.Parameter]) -> Any:
    """Return the optimizer that a configuration names, over trainable parameters.

    Raises:
        ConfigError: If the optimizer or a parameter is unknown, or torch refuses a value.
    """
    if config.name not in _OPTIMIZERS:
        raise ConfigError(
            f"optimizer {config.name!r} is unknown.{did_you_mean(config.name, _OPTIMIZERS)} "
            f"Known: {', '.join(_OPTIMIZERS)}"
        )
    factory, names = _OPTIMIZERS[config.name]
    stated = dict(config.parameters or {})
    unknown = [name for name in stated if name not in names]
    if unknown:
        raise ConfigError(
            f"optimizer {config.name}: unknown parameter {unknown[0]!r}."
            f"{did_you_mean(unknown[0], names)} Known: {', '.join(names)}"
        )
    arguments = {"lr": _LEARNING_RATE} | {names[name]: value for name, value in stated.items()}
    betas = [arguments.pop(f"beta_{i}", _BETAS[i - 1]) for i in (1, 2)]
    if "beta_1" in names:
        arguments["betas"] = tuple(betas)
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise ConfigError("the model has no parameter that requires a gradient: nothing to train")
    try:
        return factory(trained, **arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer {config.name} with {stated!r}: {error}") from error
