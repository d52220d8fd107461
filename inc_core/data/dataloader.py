"""``DataLoader``: batches of a dataset, the same ones every time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np

from inc_core.data.access import check_dataset, is_indexed, iterate, sample_count
from inc_core.data.collate import default_collate
from inc_core.data.pairs import split_pair
from inc_core.data.prefetch import ordered_map
from inc_core.errors import DataError

__all__ = ["DataLoader"]

logger = logging.getLogger("inc_core.data")


class _Chunk(NamedTuple):
    """The samples of one batch: their numbers, and themselves if they are read already."""

    numbers: Sequence[int]
    items: Sequence[Any] | None = None


class DataLoader:
    """Yields ``(inputs, labels)`` batches of a dataset; each iteration starts afresh.

    A sample is a tuple or list of two, ``(input, label)``, or an input alone; then the labels are
    ``None``. Inputs may be arrays, tensors, numbers, or mappings, tuples and lists of them; batches
    have the same form in numpy, with the samples in the first dimension.

    Args:
        dataset: Has ``__getitem__`` with a length (``__len__`` or ``len``), or ``__iter__``, or
            ``__getitem__`` that raises ``IndexError`` at the end.
        batch_size: Samples per batch.
        collate_fn: Makes a batch from a list of samples; by default they are stacked.
        last_batch: What becomes of a short last batch: ``"rollover"`` keeps it, ``"discard"`` drops it.
        sampler: Re-iterable of indices, in place of ``0, 1, 2, ...``.
        batch_sampler: Re-iterable of lists of indices, in place of batch size and order.
        num_workers: Threads that make batches ahead; the order stays.
        pin_memory: Accepted and without effect.
        shuffle: Draw samples in random order: a new one each time that the loader is iterated, the
            same ones each time that the program runs. A tuning run takes the first of these orders
            always, so that every trial sees the same data.
        distributed: Without effect, which is said; data is not sharded.
        seed: Of the random orders.

    Raises:
        DataError: If arguments exclude each other or the dataset cannot be read; while iterating, if
            there is no sample, or samples of a batch differ in shape.

    Example:
        >>> loader = DataLoader([(np.zeros(3), 0), (np.ones(3), 1), (np.ones(3), 0)], batch_size=2)
        >>> [(inputs.shape, labels.tolist()) for inputs, labels in loader]
        [((2, 3), [0, 1]), ((1, 3), [0])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        last_batch: Literal["rollover", "discard"] = "rollover",
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[Sequence[int]] | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        shuffle: bool = False,
        distributed: bool = False,
        *,
        seed: int = 0,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.collate_fn = collate_fn
        self.last_batch = last_batch
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.shuffle = shuffle
        self.seed = seed
        self._epochs = 0
        self._check()
        if distributed:
            logger.warning("DataLoader: distributed=True has no effect; all data is read here")

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        self._epochs += 1
        return self.epoch(self._epochs - 1)

    def epoch(self, number: int) -> Iterator[tuple[Any, Any]]:
        """Yield the batches of iteration ``number``; only ``shuffle`` makes them differ."""
        empty = True
        for batch in ordered_map(self._make, self._chunks(number), self.num_workers):
            empty = False
            yield batch
        if empty:
            raise DataError(self._why_empty())

    def __len__(self) -> int:
        """Return the number of batches; a ``TypeError`` says that the dataset does not tell it."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        samples = sample_count(self.dataset if self.sampler is None else self.sampler)
        if samples is None:
            raise TypeError(f"the {type(self.dataset).__name__} of this DataLoader has no length")
        full, rest = divmod(samples, self.batch_size)
        return full + bool(rest and self.last_batch == "rollover")

    def rebatch(self, batch_size: int) -> DataLoader:
        """Return a loader of the same samples in batches of another size.

        Raises:
            DataError: If a ``batch_sampler`` decides the batches.
        """
        if self.batch_sampler is not None:
            raise DataError("this DataLoader's batches come from its batch_sampler; pass a sampler")
        other = copy(self)
        other.batch_size = batch_size
        other._check()
        return other

    def _make(self, chunk: _Chunk) -> tuple[Any, Any]:
        items = chunk.items
        if items is None:
            items = [self.dataset[number] for number in chunk.numbers]
        if self.collate_fn is None:
            return default_collate(items, chunk.numbers)
        return split_pair(self.collate_fn(list(items)))

    def _chunks(self, epoch: int) -> Iterator[_Chunk]:
        if self.batch_sampler is not None:
            yield from (_Chunk(list(numbers)) for numbers in self.batch_sampler)
        elif self.sampler is not None or is_indexed(self.dataset):
            yield from (_Chunk(numbers) for numbers in self._grouped(self._indices(epoch)))
        else:
            for group in self._grouped(enumerate(iterate(self.dataset))):
                yield _Chunk([number for number, _ in group], [item for _, item in group])

    def _indices(self, epoch: int) -> Iterable[int]:
        if self.sampler is not None:
            return self.sampler
        length = sample_count(self.dataset) or 0
        if not self.shuffle:
            return range(length)
        indices: list[int] = np.random.default_rng((self.seed, epoch)).permutation(length).tolist()
        return indices

    def _grouped(self, items: Iterable[Any]) -> Iterator[list[Any]]:
        source = iter(items)
        while group := list(islice(source, self.batch_size)):
            if len(group) == self.batch_size or self.last_batch == "rollover":
                yield group

    def _why_empty(self) -> str:
        name = type(self.dataset).__name__
        samples = sample_count(self.dataset)
        if samples and self.sampler is None and self.batch_sampler is None:
            return (
                f"last_batch='discard' leaves no batch: {name} has {samples} samples, and "
                f"batch_size is {self.batch_size}. Use a smaller batch_size, or 'rollover'."
            )
        return (
            f"the dataset {name} gives no sample. Check its path, its filter and its sampler; a "
            "dataset without a length is read until its __getitem__ raises IndexError."
        )

    def _check(self) -> None:
        check_dataset(self.dataset)
        if not isinstance(self.batch_size, int | np.integer) or self.batch_size < 1:
            raise DataError(
                f"batch_size must be a whole number above 0; received {self.batch_size!r}"
            )
        if self.last_batch not in ("rollover", "discard"):
            raise DataError(
                f"last_batch must be 'rollover' (keep it) or 'discard'; received {self.last_batch!r}"
            )
        if self.num_workers < 0:
            raise DataError(f"num_workers must be 0 or more; received {self.num_workers!r}")
        for name, sampler in (("sampler", self.sampler), ("batch_sampler", self.batch_sampler)):
            if isinstance(sampler, Iterator):
                raise DataError(
                    f"the {name} is a {type(sampler).__name__}: usable once. Give a list."
                )
        self._check_order()

    def _check_order(self) -> None:
        stated = {
            "sampler": self.sampler is not None,
            "batch_sampler": self.batch_sampler is not None,
            "shuffle": self.shuffle,
        }
        given = [name for name, is_given in stated.items() if is_given]
        if len(given) > 1:
            raise DataError(f"{given[0]} and {given[1]} exclude each other; leave one out")
        by_index = hasattr(self.dataset, "__getitem__")
        if given == ["shuffle"] and not is_indexed(self.dataset):
            raise DataError(
                f"shuffle=True needs a dataset with __getitem__ and __len__; "
                f"{type(self.dataset).__name__} lacks one. Shuffle inside of the dataset."
            )
        if given and not by_index:
            raise DataError(f"{given[0]} needs a dataset with __getitem__")
