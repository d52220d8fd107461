"""From what a user gives to what a session takes, with errors that say what the model expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort

from inc_core.errors import DataError, did_you_mean

__all__ = ["InputInfo", "feed", "input_infos"]

_DTYPES = {
    "float": np.float32,
    "double": np.float64,
    "float16": np.float16,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "bool": np.bool_,
    "string": np.object_,
}


class InputInfo(NamedTuple):
    """Name, dtype and shape of one model input; a dimension is a number or a name."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    def __str__(self) -> str:
        shape = ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{shape}]"


def input_infos(session: ort.InferenceSession) -> tuple[InputInfo, ...]:
    """Return the inputs of a session, in its order."""
    return tuple(
        InputInfo(i.name, i.type.removeprefix("tensor(").removesuffix(")"), tuple(i.shape))
        for i in session.get_inputs()
    )


def feed(
    infos: Sequence[InputInfo], inputs: Any, order: Sequence[str] = ()
) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of one batch by input name, in the dtypes that the model takes.

    Args:
        infos: The model's inputs.
        inputs: An array, a tuple or list of arrays, or a mapping from input name to array.
        order: Input names in the order of a tuple; empty for the model's own order.

    Raises:
        DataError: If names, number, shapes or dtypes do not fit.
    """
    by_name = {info.name: info for info in infos}
    named = _by_name(list(order) or list(by_name), inputs, infos)
    unknown = [name for name in named if name not in by_name]
    if unknown:
        hint = did_you_mean(str(unknown[0]), by_name)
        raise DataError(f"the model has no input {unknown[0]!r}.{hint} {_expected(infos)}")
    missing = [name for name in by_name if name not in named]
    if missing:
        raise DataError(f"the input {missing[0]!r} is missing. {_expected(infos)}")
    return {name: _fit(by_name[name], value, infos) for name, value in named.items()}


def _by_name(names: list[str], inputs: Any, infos: Sequence[InputInfo]) -> Mapping[str, Any]:
    if isinstance(inputs, Mapping):
        return inputs
    if isinstance(inputs, tuple | list) and (len(names) > 1 or len(inputs) == 1):
        if len(inputs) != len(names):
            raise DataError(
                f"the batch has {len(inputs)} arrays, the model {len(names)} inputs. "
                f"{_expected(infos)}"
            )
        return dict(zip(names, inputs, strict=True))
    if len(names) != 1:
        raise DataError(f"the batch is one array, the model has {len(names)}. {_expected(infos)}")
    return {names[0]: inputs}


def _fit(info: InputInfo, value: Any, infos: Sequence[InputInfo]) -> np.ndarray[Any, Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DataError(
            f"the input {info.name!r} is no array: {error}. {_expected(infos)}"
        ) from error
    shape_fits = len(array.shape) == len(info.shape) and all(
        not isinstance(wanted, int) or wanted == given
        for wanted, given in zip(info.shape, array.shape, strict=True)
    )
    if not shape_fits and info.shape:
        raise DataError(
            f"the input {info.name!r} has shape {list(array.shape)}, which does not fit. "
            f"{_expected(infos)}"
        )
    return _cast(info, array, infos)


def _cast(
    info: InputInfo, array: np.ndarray[Any, Any], infos: Sequence[InputInfo]
) -> np.ndarray[Any, Any]:
    """Cast within a kind (float64 to float32, int32 to int64) and integers to float; nothing else."""
    wanted = np.dtype(_DTYPES.get(info.dtype, np.float32))
    if array.dtype == wanted:
        return array
    kinds = {"f": "fiub", "i": "iub", "u": "uib", "b": "b", "O": "OUS"}
    if array.dtype.kind not in kinds.get(wanted.kind, ""):
        raise DataError(
            f"the input {info.name!r} has dtype {array.dtype}, which does not fit. {_expected(infos)}"
        )
    cast = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(cast, array):
        raise DataError(
            f"values of the input {info.name!r} ({array.dtype}) do not fit into {info.dtype}"
        )
    return cast


def _expected(infos: Sequence[InputInfo]) -> str:
    return "The model takes " + "; ".join(str(info) for info in infos)
