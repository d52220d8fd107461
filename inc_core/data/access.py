"""How a dataset is read: by index or in order, whatever way it tells its length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from inc_core.errors import DataError

__all__ = ["check_dataset", "is_indexed", "iterate", "sample_count"]


def check_dataset(dataset: Any) -> None:
    """Raise a ``DataError`` if an object is no dataset that can be read again and again."""
    name = type(dataset).__name__
    if isinstance(dataset, Iterator):
        raise DataError(
            f"the dataset is a {name}, which can be read only once, and tuning reads it for every "
            "trial. Give a list, or an object whose __iter__ starts afresh."
        )
    readable = hasattr(dataset, "__getitem__") or hasattr(dataset, "__iter__")
    if not readable or isinstance(dataset, Mapping | str | bytes | type):
        shown = repr(dataset) if isinstance(dataset, type) else f"a {name}"
        raise DataError(
            f"a dataset needs __getitem__(index) or __iter__() giving (input, label); "
            f"received {shown}"
        )


def sample_count(dataset: Any) -> int | None:
    """Return how many samples a dataset has: by ``__len__``, or a method ``len``; else ``None``."""
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):  # no __len__, or one that is there for form's sake
        pass
    measure = getattr(dataset, "len", None)
    length = measure() if callable(measure) else None
    return length if isinstance(length, int) else None


def is_indexed(dataset: Any) -> bool:
    """Whether any sample can be had by its number: there are ``__getitem__`` and a length."""
    return hasattr(dataset, "__getitem__") and sample_count(dataset) is not None


def iterate(dataset: Any) -> Iterator[Any]:
    """Yield a dataset's samples in order.

    By index as far as the length goes; else with ``__iter__``; else by index until ``IndexError``.
    """
    length = sample_count(dataset) if hasattr(dataset, "__getitem__") else None
    if length is not None:
        for index in range(length):
            yield dataset[index]
    elif hasattr(dataset, "__iter__"):
        yield from dataset
    else:
        yield from _until_index_error(dataset)


def _until_index_error(dataset: Any) -> Iterator[Any]:
    for index in count():
        try:
            sample = dataset[index]
        except IndexError:
            return
        yield sample
