"""From samples to one batch: numpy arrays stacked leaf by leaf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inc_core.data.arrays import as_array, as_arrays, is_plain
from inc_core.data.pairs import split_pair
from inc_core.errors import DataError

__all__ = ["default_collate"]

_REMEDY = (
    "Use batch_size=1, a transform that makes the samples alike (such as Resize), or a collate_fn."
)


def default_collate(items: Sequence[Any], numbers: Sequence[int] | None = None) -> tuple[Any, Any]:
    """Stack samples into ``(inputs, labels)`` with a new first dimension, leaf by leaf.

    Inputs and labels may be arrays, tensors, numbers, or nests of them in mappings, tuples and
    lists; a list of plain numbers is one vector. Leaves that are no arrays are put in a list.

    Args:
        items: Samples as the dataset gives them: ``(input, label)`` or an input alone.
        numbers: The samples' numbers in the dataset, for messages; by default the place in the batch.

    Returns:
        Inputs in the form of one sample's (lists become tuples), and labels; ``None`` if no sample
        has a label.

    Raises:
        DataError: If samples differ in shape or form, or only some have a label.
    """
    numbers = range(len(items)) if numbers is None else numbers
    inputs, labels = zip(*map(split_pair, items), strict=True)
    missing = [number for number, label in zip(numbers, labels, strict=True) if label is None]
    if missing and len(missing) < len(items):
        raise DataError(
            f"sample {missing[0]} has no label, but others of its batch have one. "
            "Give each sample a label, or none: (input, 0) is a label, too."
        )
    stacked = _stack(inputs, "input", numbers)
    return stacked, None if missing else _stack(labels, "label", numbers)


def _stack(values: Sequence[Any], what: str, numbers: Sequence[int]) -> Any:
    plain = _stack_plain(values)
    if plain is not None:
        return plain
    forms = [_form(value) for value in values]
    for form, number in zip(forms, numbers, strict=True):
        if form != forms[0]:
            raise DataError(
                f"samples of one batch differ: the {what} of sample {number} is {_said(form)}, "
                f"that of sample {numbers[0]} is {_said(forms[0])}. {_REMEDY}"
            )
    if forms[0] is None:
        return _stack_leaves(values, what, numbers)
    first = values[0]
    stacked = {
        key: _stack([value[key] for value in values], f"{what}[{key!r}]", numbers)
        for key in (first if isinstance(first, Mapping) else forms[0])
    }
    return stacked if isinstance(first, Mapping) else tuple(stacked.values())


def _stack_plain(values: Sequence[Any]) -> Any:
    """Stack arrays of one shape, or numbers of one type: most data, and most of what collating costs."""
    kind = type(values[0])
    if any(type(value) is not kind for value in values):
        return None
    if kind is np.ndarray and all(value.shape == values[0].shape for value in values):
        shape = values[0].shape
        # np.stack does the same, but for a view of each sample
        return np.concatenate(values).reshape(len(values), *shape) if shape else np.stack(values)
    return np.asarray(values) if kind is int or issubclass(kind, np.generic) else None


def _form(value: Any) -> tuple[Any, ...] | None:
    """Return the keys of a nest, sorted for comparison, or ``None`` for a leaf."""
    if isinstance(value, Mapping):
        return tuple(sorted(value, key=str))
    if isinstance(value, tuple) or (isinstance(value, list) and not is_plain(value)):
        return tuple(range(len(value)))
    return None


def _said(form: tuple[Any, ...] | None) -> str:
    return "no collection" if form is None else f"a collection with {list(form)}"


def _stack_leaves(values: Sequence[Any], what: str, numbers: Sequence[int]) -> Any:
    arrays = [as_arrays(v) if isinstance(v, list) else as_array(v) for v in values]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        return list(values)
    for array, number in zip(arrays, numbers, strict=True):
        if array.shape != arrays[0].shape:
            raise DataError(
                f"samples of one batch differ in shape: the {what} of sample {number} has "
                f"{array.shape}, that of sample {numbers[0]} has {arrays[0].shape}. {_REMEDY}"
            )
    return np.stack(arrays)
