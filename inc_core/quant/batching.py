"""Length and slices of one batch of inputs, whatever nest of arrays it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inc_core.errors import DataError

__all__ = ["batch_length", "slice_batch"]


def batch_length(inputs: Any) -> int:
    """Return how many samples a batch holds: the first dimension of its first array.

    Raises:
        DataError: If there is no array with a batch dimension.
    """
    array = inputs
    while isinstance(array, Mapping | tuple | list):
        if not array:
            raise DataError("a batch holds no array; it was an empty collection")
        array = next(iter(array.values())) if isinstance(array, Mapping) else array[0]
    shape = getattr(array, "shape", None)
    if not shape:
        raise DataError(
            f"a batch must hold arrays with the samples in the first dimension, received "
            f"{type(array).__name__} without one. Use common.DataLoader to make batches."
        )
    return int(shape[0])


def slice_batch(inputs: Any, start: int, stop: int) -> Any:
    """Return samples ``start`` to ``stop`` of a batch, in the same nest.

    Arrays whose first dimension is not the batch (constants, scalars) are passed on whole.
    """
    return _slice(inputs, start, stop, batch_length(inputs))


def _slice(inputs: Any, start: int, stop: int, length: int) -> Any:
    if isinstance(inputs, Mapping):
        return {name: _slice(value, start, stop, length) for name, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        values = [_slice(value, start, stop, length) for value in inputs]
        # a namedtuple takes its fields one by one
        return type(inputs)(*values) if hasattr(inputs, "_fields") else type(inputs)(values)
    shape = getattr(inputs, "shape", ())
    return inputs[start:stop] if shape and shape[0] == length else inputs
