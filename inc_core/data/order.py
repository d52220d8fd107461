"""The same samples in random order, for evaluations that may end early."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from inc_core.data.access import is_indexed, sample_count
from inc_core.data.dataloader import DataLoader

__all__ = ["in_random_order", "random_order"]


def in_random_order(loader: Any, seed: int, batches: int = -1) -> DataLoader | None:
    """Return a loader of the same samples and batch size in a random order that ``seed`` decides.

    What ``last_batch="discard"`` or ``batches`` leave out stays left out, so that nothing that does
    not depend on the order changes.

    Args:
        loader: Whatever the user gave.
        seed: Of the order.
        batches: How many batches are used; -1 for all.

    Returns:
        ``None`` where the order is not ours to choose: loaders that are no ``DataLoader``, datasets
        without index and length, and loaders with a sampler.
    """
    if not isinstance(loader, DataLoader) or not is_indexed(loader.dataset):
        return None
    if loader.sampler is not None or loader.batch_sampler is not None:
        return None
    samples = _samples_used(loader, batches)
    first = np.arange(sample_count(loader.dataset) or 0)
    if loader.shuffle:
        first = np.random.default_rng((loader.seed, 0)).permutation(len(first))
    view = copy(loader)
    view.shuffle = False
    view.sampler = first[:samples][random_order(samples, seed)].tolist()
    return view


def random_order(samples: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the numbers ``0 .. samples - 1`` in the order that ``seed`` decides."""
    # the second number sets this order apart from others that are drawn from the same seed
    return np.random.default_rng((seed, 1)).permutation(samples)


def _samples_used(loader: DataLoader, batches: int) -> int:
    samples = sample_count(loader.dataset) or 0
    if loader.last_batch == "discard":
        samples -= samples % loader.batch_size
    return samples if batches < 0 else min(samples, batches * loader.batch_size)
