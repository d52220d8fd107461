"""Some of a loader's batches, without reading the others where that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import islice
from typing import Any

from inc_core.data.access import is_indexed, sample_count
from inc_core.data.batches import Batch, iter_batches
from inc_core.data.dataloader import DataLoader

__all__ = ["batch_total", "batches_between"]


def batch_total(loader: Any, most: int = -1) -> int | None:
    """Return how many batches a loader has; ``None`` if it does not say.

    Args:
        loader: Whatever the user gave.
        most: No more than these are used; -1 for all.
    """
    try:
        count = len(loader)
    except TypeError:  # an iterable without a length
        return None
    return count if most < 0 else min(count, most)


def batches_between(loader: Any, first: int, last: int) -> Iterator[Batch]:
    """Yield the batches ``first`` to ``last - 1``, the same ones as in a whole iteration."""
    part = _part(loader, first, last)
    if part is not None:
        return iter_batches(part)
    return islice(iter_batches(loader), first, last)


def _part(loader: Any, first: int, last: int) -> DataLoader | None:
    """Return a loader that reads no more than it must; ``None`` where that is not known."""
    if not isinstance(loader, DataLoader) or not is_indexed(loader.dataset):
        return None
    if loader.shuffle or loader.batch_sampler is not None:
        return None
    if loader.sampler is None:
        order: Any = range(sample_count(loader.dataset) or 0)
    elif isinstance(loader.sampler, list):
        order = loader.sampler
    else:
        return None
    view = copy(loader)
    view.sampler = list(order[first * loader.batch_size : last * loader.batch_size])
    return view
