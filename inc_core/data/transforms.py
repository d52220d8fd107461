"""Transforms in numpy: each takes one ``(input, label)`` pair and returns one.

Inputs that are mappings, tuples or lists of arrays are transformed array by array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inc_core.data.arrays import as_arrays, map_leaves
from inc_core.errors import DataError

__all__ = ["Cast", "Compose", "LabelShift", "Normalize", "Rescale", "ToArray", "Transpose"]

Sample = tuple[Any, Any]
Array = npt.NDArray[Any]


class Compose:
    """Applies transforms in order.

    Args:
        transform_list: Callables on ``(input, label)``.

    Example:
        >>> Compose([Cast("float32"), Rescale()])((np.uint8([51]), 7))
        (array([0.2], dtype=float32), 7)
    """

    def __init__(self, transform_list: Sequence[Callable[[Sample], Sample]]) -> None:
        self.transform_list = tuple(transform_list)

    def __call__(self, sample: Sample) -> Sample:
        """Return the sample after every transform."""
        for transform in self.transform_list:
            sample = transform(sample)
            if not isinstance(sample, tuple | list) or len(sample) != 2:
                raise DataError(
                    f"the transform {type(transform).__name__} returned a "
                    f"{type(sample).__name__}; a transform takes (input, label) and returns such a pair"
                )
        return sample


class Cast:
    """Changes the dtype of the input.

    Args:
        dtype: A numpy dtype or its name.
    """

    def __init__(self, dtype: str = "float32") -> None:
        self.dtype = _dtype(dtype)

    def __call__(self, sample: Sample) -> Sample:
        """Return the sample with its input cast."""
        return map_leaves(lambda array: array.astype(self.dtype), sample[0]), sample[1]


class Normalize:
    """Subtracts ``mean`` and divides by ``std``; integers become float32.

    Args:
        mean: One number, or one per channel.
        std: The same.
        axis: The channel axis of one sample. By default the last one if its length is that of
            ``mean`` and ``std``, else the first.
    """

    def __init__(
        self,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        axis: int | None = None,
    ) -> None:
        self.mean = np.atleast_1d(np.asarray(mean, np.float32))
        self.std = np.atleast_1d(np.asarray(std, np.float32))
        self.axis = axis
        if not self.std.all():
            raise DataError(f"Normalize divides by std, which must not be 0; received {std!r}")
        sizes = {self.mean.size, self.std.size} - {1}
        if len(sizes) > 1:
            raise DataError(f"Normalize: mean has {self.mean.size} values, std {self.std.size}")
        self._channels = max(self.mean.size, self.std.size)

    def __call__(self, sample: Sample) -> Sample:
        """Return the sample with its input normalized."""
        return map_leaves(self._normalized, sample[0]), sample[1]

    def _normalized(self, array: Array) -> Array:
        mean, std = (self._along(array, values) for values in (self.mean, self.std))
        normalized: Array = (_floating(array) - mean) / std
        return normalized

    def _along(self, array: Array, values: Array) -> Array:
        if values.size == 1:
            return values.reshape(())
        axes = (-1, 0) if self.axis is None else (self.axis,)
        for axis in axes if array.ndim else ():
            if -array.ndim <= axis < array.ndim and array.shape[axis] == self._channels:
                shape = [1] * array.ndim
                shape[axis] = -1
                return values.reshape(shape)
        raise DataError(
            f"Normalize has {self._channels} channels, the input has shape {array.shape}: neither its "
            "last nor its first axis (or not the stated one) is of that length"
        )


class Rescale:
    """Divides the input by ``scale``; by default bytes come to lie in [0, 1].

    Args:
        scale: What to divide by.
    """

    def __init__(self, scale: float = 255.0) -> None:
        if scale == 0:
            raise DataError("Rescale divides by scale, which must not be 0")
        self.scale = np.float32(scale)

    def __call__(self, sample: Sample) -> Sample:
        """Return the sample with its input divided."""
        return map_leaves(lambda array: _floating(array) / self.scale, sample[0]), sample[1]


class Transpose:
    """Reorders the axes of the input.

    Args:
        perm: Which axis comes first, second, ...; ``[2, 0, 1]`` puts channels before rows.
    """

    def __init__(self, perm: Sequence[int]) -> None:
        self.perm = tuple(perm)

    def __call__(self, sample: Sample) -> Sample:
        """Return the sample with its input's axes reordered."""
        return map_leaves(self._transposed, sample[0]), sample[1]

    def _transposed(self, array: Array) -> Array:
        if array.ndim != len(self.perm):
            raise DataError(
                f"Transpose has perm {self.perm}, but the input has {array.ndim} axes: {array.shape}"
            )
        return array.transpose(self.perm)


class ToArray:
    """Turns the input into numpy: images, tensors, lists of numbers."""

    def __call__(self, sample: Sample) -> Sample:
        """Return the sample with its input as array."""
        return as_arrays(sample[0]), sample[1]


class LabelShift:
    """Subtracts ``label_shift`` from the labels; for classes that are counted from 1.

    A postprocess: called with ``(outputs, labels)`` of a batch.

    Args:
        label_shift: What to subtract.
    """

    def __init__(self, label_shift: int = 0) -> None:
        self.label_shift = label_shift

    def __call__(self, sample: Sample) -> Sample:
        """Return outputs as they are, and shifted labels."""
        return sample[0], map_leaves(lambda labels: labels - self.label_shift, sample[1])


def _floating(array: Array) -> Array:
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)


def _dtype(name: Any) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError as error:
        raise DataError(f"no numpy dtype: {name!r}") from error
