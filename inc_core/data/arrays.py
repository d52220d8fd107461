"""From whatever a loader yields to numpy, leaf by leaf, without importing any framework."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["as_array", "as_arrays", "is_plain", "map_leaves", "raw_bytes"]

_SCALARS = (numbers.Number, str, bytes, np.generic)


def as_arrays(value: Any) -> Any:
    """Return a nest of mappings, tuples and lists with every leaf as an array.

    A list or tuple of plain numbers (or of lists of them) is one array, not a nest. Leaves that are
    no arrays in any sense, such as ``None`` or objects of the user, stay as they are.
    """
    if isinstance(value, Mapping):
        return {name: as_arrays(child) for name, child in value.items()}
    if isinstance(value, tuple | list):
        if is_plain(value):
            return _stacked(value)
        children = [as_arrays(child) for child in value]
        return children if isinstance(value, list) else tuple(children)
    return as_array(value)


def as_array(value: Any) -> Any:
    """Return one leaf as an array; what is no array in any sense is returned as it is.

    Tensors are known by their methods: ``detach``, ``cpu``, ``asnumpy``, ``numpy``, ``__array__``.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, _SCALARS):
        return np.asarray(value)
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return _from_tensor(value.detach().cpu())
    for name in ("asnumpy", "numpy"):
        if callable(getattr(value, name, None)):
            return np.asarray(getattr(value, name)())
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return np.asarray(value)
    return value


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """Return a nest of mappings, tuples and lists with ``function`` applied to every array."""
    if isinstance(value, Mapping):
        return {name: map_leaves(function, child) for name, child in value.items()}
    if isinstance(value, tuple | list) and not is_plain(value):
        children = [map_leaves(function, child) for child in value]
        return children if isinstance(value, list) else tuple(children)
    return function(np.asarray(as_array(value)))


def is_plain(value: Any) -> bool:
    """Whether a value is a number or text, or a list or tuple of nothing else."""
    if isinstance(value, tuple | list):
        return all(map(is_plain, value))
    return isinstance(value, _SCALARS)


def raw_bytes(array: np.ndarray[Any, Any]) -> memoryview:
    """Return the bytes of an array without copying it, unless it lies in memory in another order.

    Args:
        array: Of any dtype but objects; also one that has no buffer, such as bfloat16 or dates.
    """
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _stacked(value: Any) -> Any:
    try:
        return np.asarray(value)
    except ValueError:  # rows of different lengths are no array; labels may be such
        return value


def _from_tensor(tensor: Any) -> Any:
    try:
        return np.asarray(tensor.numpy())
    except TypeError:  # a dtype that numpy lacks, such as bfloat16
        return np.asarray(tensor.float().numpy())
