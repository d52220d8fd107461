"""What a loader's data is, and what a user's function does, as text that changes when they do."""

from __future__ import annotations

import functools
import hashlib
import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from inc_core.data.batches import iter_batches
from inc_core.data.access import sample_count
from inc_core.data.dataloader import DataLoader

__all__ = ["data_identity", "source_of"]

MAX_DEPTH = 4  # of attributes of attributes; deeper objects are named by their type
DIGEST_DIGITS = 16


def data_identity(loader: Any) -> dict[str, str]:
    """Return what identifies a loader's data: its source, length, batching and some samples.

    The first, middle and last sample are read where the dataset can be indexed, else the first
    batch. No random state is consumed.
    """
    if isinstance(loader, DataLoader):
        dataset = loader.dataset
        length = sample_count(dataset)
        return {
            "dataset": _digest(source_of(dataset)),
            "length": str(length),
            "batching": f"batch_size {loader.batch_size}, last_batch {loader.last_batch}, "
            f"shuffle {loader.shuffle}",
            "samples": _digest(_samples(dataset, length)),
        }
    first = next(iter(iter_batches(loader)), None)
    return {"loader": _digest(source_of(loader)), "first batch": _digest(_text(first))}


def source_of(obj: Any) -> str:
    """Return text that differs if a function, class or object would behave differently.

    Source code where there is any, else the qualified name; defaults, closures and the plain
    attributes of instances count.
    """
    return _source(obj, MAX_DEPTH)


def _source(obj: Any, depth: int) -> str:
    if isinstance(obj, functools.partial):
        inner = _source(obj.func, depth)
        return f"partial({inner}, {_text(obj.args)}, {_text(obj.keywords)})"
    if inspect.ismethod(obj):
        return f"{_source(obj.__func__, depth)} of {_source(obj.__self__, depth)}"
    if inspect.isfunction(obj):
        closure = [cell.cell_contents for cell in obj.__closure__ or () if _is_filled(cell)]
        return f"{_code(obj)} {_text(obj.__defaults__)} {_text(closure, depth - 1)}"
    if inspect.isclass(obj) or inspect.isbuiltin(obj):
        return _code(obj)
    return f"{_code(type(obj))} {_text(getattr(obj, '__dict__', {}), depth - 1)}"


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


def _code(obj: Any) -> str:
    name = f"{getattr(obj, '__module__', '')}.{getattr(obj, '__qualname__', repr(type(obj)))}"
    try:
        return f"{name}\n{inspect.getsource(obj)}"
    except (OSError, TypeError):  # built in, or typed into a prompt
        code = getattr(obj, "__code__", None)
        return name if code is None else f"{name} {code.co_code.hex()} {code.co_consts!r}"


def _text(value: Any, depth: int = MAX_DEPTH) -> str:
    """Return stable text of a value: no addresses, no order of hashing, arrays by digest."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        array = np.asarray(value)
        return f"{array.dtype}{array.shape}{_digest_bytes(np.ascontiguousarray(array).tobytes())}"
    if depth <= 0:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
    if isinstance(value, Mapping):
        rows = sorted(f"{_text(k, depth - 1)}: {_text(v, depth - 1)}" for k, v in value.items())
        return "{" + ", ".join(rows) + "}"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(_text(item, depth - 1) for item in value)) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_text(item, depth - 1) for item in value) + "]"
    return _source(value, depth - 1)


def _samples(dataset: Any, length: int | None) -> str:
    if hasattr(dataset, "__getitem__") and length:
        return _text([dataset[index] for index in sorted({0, length // 2, length - 1})])
    return _text(list(itertools.islice(_first(dataset), 1)))


def _first(dataset: Any) -> Iterator[Any]:
    if hasattr(dataset, "__iter__"):
        return iter(dataset)
    return iter([dataset[0]])


def _digest(text: str) -> str:
    return _digest_bytes(text.encode())


def _digest_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]
