"""Datasets of the core: random data, and arrays of an ``.npz`` file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inc_core.data.arrays import map_leaves
from inc_core.errors import DataError, did_you_mean

__all__ = ["Dummy", "Npz"]

Shape = Sequence[int]


class Dummy:
    """Uniform random data; the same for the same parameters, whatever is read first.

    Give ``shape`` (``dummy`` of old files) or ``input_shape`` (``dummy_v2``). A sequence of shapes
    means several inputs. ``low``, ``high`` and ``dtype`` are one value for all, or one per input
    (and then one for the label, if it has a shape).

    Args:
        shape: Shape of all the data; the first dimension is the number of samples.
        low: Smallest value.
        high: Largest value.
        dtype: Numpy dtype; values are cut to integers for an integer one.
        label: Whether samples have a label; it is 0 unless ``label_shape`` is given.
        input_shape: Shape of one sample, in place of ``shape``.
        label_shape: Shape of one label, drawn like the inputs.
        samples: Number of samples with ``input_shape``.
        seed: Of the random values.

    Raises:
        DataError: If the parameters do not fit each other.

    Example:
        >>> data = Dummy(shape=(10, 3, 32, 32), low=0.0, high=1.0)
        >>> len(data), data[0][0].shape, data[0][1]
        (10, (3, 32, 32), 0)
    """

    def __init__(
        self,
        shape: Shape | Sequence[Shape] | None = None,
        low: float | Sequence[float] = -128.0,
        high: float | Sequence[float] = 127.0,
        dtype: str | Sequence[str] = "float32",
        label: bool = True,
        input_shape: Shape | Sequence[Shape] | None = None,
        label_shape: Shape | None = None,
        samples: int = 256,
        seed: int = 9527,
    ) -> None:
        if (shape is None) == (input_shape is None):
            raise DataError(
                "Dummy needs either shape, whose first dimension is the number of samples, or "
                f"input_shape, that of one sample; received {shape!r} and {input_shape!r}"
            )
        wholes = _shapes(shape if input_shape is None else input_shape)
        counts = (
            {whole[0] if whole else 0 for whole in wholes} if input_shape is None else {samples}
        )
        if len(counts) != 1 or min(counts) < 1:
            raise DataError(f"Dummy: shapes {wholes} do not agree on a number of samples above 0")
        self._several = len(wholes) > 1
        self._samples = counts.pop()
        self._inputs = wholes if shape is None else [whole[1:] for whole in wholes]
        self._label = None if label_shape is None else tuple(label_shape)
        self._labelled = label
        arrays = len(self._inputs) + (self._label is not None)
        self._lows = [float(value) for value in _per_array(low, arrays, "low")]
        self._highs = [float(value) for value in _per_array(high, arrays, "high")]
        self._dtypes = [np.dtype(value) for value in _per_array(dtype, arrays, "dtype")]
        self._seed = seed

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self._samples:
            raise IndexError(f"Dummy has {self._samples} samples; received index {index}")
        inputs = tuple(self._draw(index, k, shape) for k, shape in enumerate(self._inputs))
        return inputs if self._several else inputs[0], self._label_of(index)

    def _label_of(self, index: int) -> Any:
        if self._label is not None:
            return self._draw(index, len(self._inputs), self._label)
        return 0 if self._labelled else None

    def _draw(self, index: int, array: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        rng = np.random.default_rng((self._seed, index, array))
        values = rng.random(shape, np.float32) * (self._highs[array] - self._lows[array])
        return (values + self._lows[array]).astype(self._dtypes[array])


class Npz:
    """Arrays of an ``.npz`` file, with the samples in the first dimension.

    Args:
        path: The file.
        inputs: Name of an array in the file; or a sequence of names, for several inputs; or a
            mapping from the model's input names to array names.
        labels: Name of the labels' array; ``None`` if there are none.

    Raises:
        DataError: If the file cannot be read, lacks an array, or arrays differ in length.

    Example in YAML::

        dataset:
          npz: {path: digits.npz, inputs: x_test, labels: y_test}
    """

    def __init__(
        self,
        path: str | Path,
        inputs: str | Sequence[str] | Mapping[str, str] = "x",
        labels: str | None = "y",
    ) -> None:
        self.path = Path(path)
        with _opened(self.path) as stored:
            self._inputs = self._read(stored, inputs)
            self._labels = None if labels is None else self._array(stored, labels)
        leaves: list[tuple[int, ...]] = []
        map_leaves(lambda array: leaves.append(array.shape), (self._inputs,))
        if self._labels is not None:
            leaves.append(self._labels.shape)
        if len({shape[:1] for shape in leaves}) != 1 or not leaves[0]:
            raise DataError(f"{self.path}: arrays differ in their first dimension: {leaves}")
        self._samples = leaves[0][0]

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < self._samples:
            raise IndexError(f"{self.path} has {self._samples} samples; received index {index}")
        label = None if self._labels is None else self._labels[index]
        return map_leaves(lambda array: array[index], self._inputs), label

    def _read(self, stored: Any, inputs: Any) -> Any:
        if isinstance(inputs, str):
            return self._array(stored, inputs)
        if isinstance(inputs, Mapping):
            return {name: self._array(stored, key) for name, key in inputs.items()}
        return tuple(self._array(stored, key) for key in inputs)

    def _array(self, stored: Any, key: str) -> np.ndarray[Any, Any]:
        if key not in stored.files:
            raise DataError(
                f"{self.path}: no array {key!r}.{did_you_mean(key, stored.files)} "
                f"It holds {', '.join(stored.files)}"
            )
        try:
            array: np.ndarray[Any, Any] = stored[key]
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path}: the array {key!r} cannot be read: {error}") from error
        return array


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"no such file: {str(path)!r} (looked for from {Path.cwd()})")
    try:
        stored = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{str(path)!r} is no .npz file: {error}") from error
    if not hasattr(stored, "files"):
        raise DataError(f"{str(path)!r} holds a single array; save with numpy.savez instead")
    return stored


def _shapes(shape: Any) -> list[tuple[int, ...]]:
    several = bool(shape) and isinstance(shape[0], Sequence)
    return [tuple(int(size) for size in one) for one in (shape if several else [shape])]


def _per_array(value: Any, count: int, what: str) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return [value] * count
    if len(value) != count:
        raise DataError(f"Dummy: {what} has {len(value)} values for {count} arrays: {value!r}")
    return list(value)
