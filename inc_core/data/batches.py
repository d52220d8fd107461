"""Batches in numpy from any loader: ours, a framework's, or a plain list of pairs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from inc_core.data.arrays import as_arrays
from inc_core.data.dataloader import DataLoader
from inc_core.data.pairs import split_pair
from inc_core.errors import DataError
from inc_core.quant.batching import batch_length, slice_batch

__all__ = ["Batch", "batch_length", "in_pieces", "iter_batches", "slice_batch", "take"]


class Batch(NamedTuple):
    """One batch.

    Attributes:
        inputs: An array, or a mapping, tuple or list of arrays; samples in the first dimension.
        labels: The same for labels; ``None`` if there are none.
        size: Number of samples.
    """

    inputs: Any
    labels: Any
    size: int


def iter_batches(loader: Any) -> Iterator[Batch]:
    """Yield the batches of any iterable of ``(inputs, labels)``, or of inputs alone, in numpy.

    What is a pair is said at ``split_pair``. Tensors become arrays; nests keep their form. A
    ``DataLoader`` with ``shuffle`` gives the same order every time.

    Args:
        loader: Anything that can be iterated again and again.

    Raises:
        DataError: If it cannot be iterated, is used up, or a batch holds no arrays.
    """
    _check_loader(loader)
    empty = True
    for item in loader.epoch(0) if isinstance(loader, DataLoader) else loader:
        empty = False
        inputs, labels = map(as_arrays, split_pair(item))
        yield Batch(inputs, labels, batch_length(inputs))
    if empty and isinstance(loader, Iterator):
        raise _used_up(loader)


def take(batches: Iterable[Batch], samples: int) -> Iterator[Batch]:
    """Yield batches until exactly ``samples`` samples were given; the last one is cut to fit.

    Fewer are given if there are no more; none are read beyond.
    """
    left = samples
    if left <= 0:
        return
    for batch in batches:
        yield batch if batch.size <= left else _part(batch, 0, left)
        left -= batch.size
        if left <= 0:
            return


def in_pieces(batch: Batch, count: int) -> Iterator[Batch]:
    """Yield a batch in ``count`` parts of about equal size, fewer if it has fewer samples."""
    count = min(count, batch.size)
    cuts = [batch.size * number // max(count, 1) for number in range(count + 1)]
    for start, stop in pairwise(cuts):
        yield _part(batch, start, stop)


def _part(batch: Batch, start: int, stop: int) -> Batch:
    labels = batch.labels
    if isinstance(labels, list) and len(labels) == batch.size:  # one object per sample
        labels = labels[start:stop]
    elif labels is not None and getattr(labels, "shape", None) != ():
        labels = slice_batch(labels, start, stop)
    return Batch(slice_batch(batch.inputs, start, stop), labels, stop - start)


def _check_loader(loader: Any) -> None:
    name = type(loader).__name__
    if not hasattr(loader, "__iter__"):
        looks_like_dataset = hasattr(loader, "__getitem__")
        raise DataError(
            f"a dataloader must be an iterable of (inputs, labels) batches; received {name}"
            + (", which looks like a dataset. " if looks_like_dataset else ". ")
            + "Use common.DataLoader(dataset, batch_size=...)."
        )
    if inspect.isgenerator(loader) and inspect.getgeneratorstate(loader) != inspect.GEN_CREATED:
        raise _used_up(loader)


def _used_up(loader: Any) -> DataError:
    return DataError(
        f"the dataloader is a {type(loader).__name__} and was read before: it can be read only once, "
        "and a run reads data several times. Use common.DataLoader, a list of batches, or an object "
        "whose __iter__ starts afresh."
    )
