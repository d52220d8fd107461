"""The training loop for configurations that describe a training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from inc_core.config.types import TrainConfig
from inc_core.data.pairs import split_pair
from inc_core.errors import DataError
from inc_core.hookspecs.training import StepHooks
from inc_torch.training.losses import make_loss
from inc_torch.training.optimizers import make_optimizer

__all__ = ["run_model", "train"]


def train(model: nn.Module, config: TrainConfig, batches: Iterable[Any], hooks: StepHooks) -> None:
    """Train in place: optimizer, criterion and epochs as configured, hooks told in their order."""
    optimizer = make_optimizer(config.optimizer, model.parameters())
    criterion = make_loss(config.criterion)
    limit = None if config.iteration < 0 else config.iteration
    for epoch in config.epochs:
        model.train()
        hooks.on_epoch_begin(epoch)
        for index, batch in enumerate(islice(batches, limit)):
            hooks.on_step_begin(index)
            inputs, labels = split_pair(batch)
            if labels is None:
                raise DataError("training needs labels; the data gives inputs alone")
            inputs = as_tensors(inputs)
            outputs = run_model(model, inputs)
            loss = hooks.on_after_compute_loss(inputs, outputs, criterion(outputs, labels))
            optimizer.zero_grad()
            loss.backward()
            hooks.on_before_optimizer_step()
            optimizer.step()
            hooks.on_step_end()
        hooks.on_epoch_end()


def run_model(model: nn.Module, inputs: Any) -> Any:
    """Call a model on a batch: names by keyword, several inputs in order, or one."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    return model(inputs)


def as_tensors(inputs: Any) -> Any:
    """Return a nest of arrays as tensors; float64 becomes float32, small integers int64."""
    if isinstance(inputs, Mapping):
        return {name: as_tensors(value) for name, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(as_tensors(value) for value in inputs)
    tensor = torch.as_tensor(inputs)
    if tensor.dtype == torch.float64:
        return tensor.float()
    return tensor.long() if not _is_float(tensor) else tensor


def _is_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point()
