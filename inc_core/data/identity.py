"""A fingerprint of a loader's data: equal for the same data in any process, cheap to take."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np

from inc_core.data.access import is_indexed, iterate, sample_count
from inc_core.data.dataloader import DataLoader
from inc_core.data.source import digest_of, source_of, text_of

__all__ = ["DIFFERENT", "data_identity", "restored_random_state", "source_of"]

# In place of samples that differ when they are read twice.
DIFFERENT = "different each time"


def data_identity(loader: Any) -> dict[str, str]:
    """Return what identifies a loader's data, by name, as readable text or 16 hex digits.

    The dataset's class and source, its attributes, its length, how it is batched and ordered, and
    its first, middle and last sample (of a dataset without index, the first). Samples that differ
    when they are read twice, as with random augmentation, are left out.

    Python's and numpy's global random states are restored. A generator, which can be read only
    once, is not read. Of a foreign loader its ``dataset`` is read where it has one with an index,
    else its first batch.

    Args:
        loader: A ``DataLoader`` or any iterable of batches.
    """
    if isinstance(loader, DataLoader):
        identity = _described(loader.dataset)
        return {**identity, "batches": _batches(loader)}
    dataset = getattr(loader, "dataset", None)
    if dataset is None or not is_indexed(dataset):
        return _described(loader)
    batch_size = getattr(loader, "batch_size", None)
    return {"loader": _name(loader), **_described(dataset), "batches": f"of {batch_size}"}


def _described(dataset: Any) -> dict[str, str]:
    with restored_random_state():
        identity = {
            "dataset": _name(dataset),
            "content": digest_of(source_of(dataset)),
            "length": str(sample_count(dataset)),
        }
        samples = [digest_of(text_of(sample)) for sample in _some_samples(dataset)]
        again = [digest_of(text_of(sample)) for sample in _some_samples(dataset)]
        identity["samples"] = " ".join(samples) if samples == again else DIFFERENT
    return identity


def _some_samples(dataset: Any) -> Iterable[Any]:
    if isinstance(dataset, Iterator):
        return []
    length = sample_count(dataset)
    if is_indexed(dataset) and length:
        return (dataset[index] for index in sorted({0, length // 2, length - 1}))
    return islice(iterate(dataset), 1)


def _batches(loader: DataLoader) -> str:
    order = f"shuffled with seed {loader.seed}" if loader.shuffle else "in order"
    for sampler in (loader.sampler, loader.batch_sampler):
        if sampler is not None:
            order = f"by {_name(sampler)} {digest_of(source_of(sampler))}"
    collate = "" if loader.collate_fn is None else digest_of(source_of(loader.collate_fn))
    return f"of {loader.batch_size}, {order}, {loader.last_batch} {collate}".strip()


def _name(obj: Any) -> str:
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


@contextmanager
def restored_random_state() -> Iterator[None]:
    """Put Python's and numpy's global random states back at the end."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
