"""The data of a run: what the script set, else what the configuration describes."""

from __future__ import annotations

from typing import Any

from inc_core.config.types import Config, TrainConfig
from inc_core.data.batches import iter_batches
from inc_core.data.build import build_dataloader
from inc_core.facade.parts import EvaluationParts, Parts
from inc_core.plugin import Plugins

__all__ = [
    "calib_dataloader_of",
    "eval_dataloader_of",
    "first_inputs",
    "train_dataloader_of",
]


def calib_dataloader_of(config: Config, parts: Parts, plugins: Plugins) -> Any:
    """Return the calibration data: the script's, else the configuration's; ``None`` without."""
    built = config.quantization.calibration.dataloader
    if parts.calib_dataloader is None and built is not None:
        return build_dataloader(built, plugins)
    return parts.calib_dataloader


def eval_dataloader_of(config: Config, parts: EvaluationParts, plugins: Plugins) -> Any:
    """Return the evaluation data: the script's, else the configuration's; ``None`` without."""
    built = config.evaluation.accuracy.dataloader
    if parts.eval_dataloader is None and built is not None:
        return build_dataloader(built, plugins)
    return parts.eval_dataloader


def train_dataloader_of(train: TrainConfig | None, parts: Any, plugins: Plugins) -> Any:
    """Return the training data: the script's, else the configuration's; ``None`` without."""
    if parts.train_dataloader is None and train is not None and train.dataloader is not None:
        return build_dataloader(train.dataloader, plugins)
    return parts.train_dataloader


def first_inputs(*loaders: Any) -> Any:
    """Return the first batch of inputs that any loader gives; ``None`` without data."""
    for loader in loaders:
        if loader is not None:
            batch = next(iter(iter_batches(loader)), None)
            if batch is not None:
                return batch.inputs
    return None
