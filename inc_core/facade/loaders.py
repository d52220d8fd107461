"""The data of a run: what the script set, else what the configuration describes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from inc_core.config.types import Config, TrainConfig
from inc_core.data.batches import Batch, iter_batches
from inc_core.data.build import build_dataloader
from inc_core.errors import IncError
from inc_core.facade.parts import EvaluationParts, Parts
from inc_core.plugin import Plugins
from inc_core.tuning.trial_run import reading

__all__ = [
    "calib_dataloader_of",
    "eval_dataloader_of",
    "first_inputs",
    "read_batches",
    "train_dataloader_of",
]

logger = logging.getLogger("inc_core.facade")


def calib_dataloader_of(config: Config, parts: Parts, plugins: Plugins) -> Any:
    """Return the calibration data: the script's, else the configuration's; ``None`` without."""
    built = config.quantization.calibration.dataloader
    if parts.calib_dataloader is None and built is not None:
        return build_dataloader(built, plugins)
    return parts.calib_dataloader


def eval_dataloader_of(config: Config, parts: EvaluationParts, plugins: Plugins) -> Any:
    """Return the evaluation data: the script's, else the configuration's; ``None`` without.

    Where ``eval_func`` evaluates, configured data that cannot be had are left out, with a warning: they
    would only be measured on.
    """
    built = config.evaluation.accuracy.dataloader
    if parts.eval_dataloader is not None or built is None:
        return parts.eval_dataloader
    try:
        return build_dataloader(built, plugins)
    except IncError as error:
        if parts.eval_func is None:
            raise
        logger.warning("evaluation.accuracy.dataloader is left out, eval_func evaluates: %s", error)
        return None


def train_dataloader_of(train: TrainConfig | None, parts: Any, plugins: Plugins) -> Any:
    """Return the training data: the script's, else the configuration's; ``None`` without."""
    if parts.train_dataloader is None and train is not None and train.dataloader is not None:
        return build_dataloader(train.dataloader, plugins)
    return parts.train_dataloader


def read_batches(loader: Any, what: str) -> Iterator[Batch]:
    """Yield the batches of a loader; what the user's own code raises is the data's fault.

    Args:
        loader: What the script or the configuration gave.
        what: What the data is for, for the message.

    Raises:
        DataError: If they cannot be read; what is wrong with it, and where.
    """
    with reading(what):
        yield from iter_batches(loader)


def first_inputs(*loaders: Any) -> Any:
    """Return the first batch of inputs that any loader gives; ``None`` without data."""
    for loader in loaders:
        if loader is not None:
            batch = next(read_batches(loader, "input"), None)
            if batch is not None:
                return batch.inputs
    return None
