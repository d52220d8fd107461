"""Quantization parameters in a file: what a saved model's ranges were."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inc_core.errors import UnsupportedModelError
from inc_core.quant.qparams import QParams

__all__ = ["load_qparams", "save_qparams"]

_PARTS = ("name", "dtype", "scale", "zero_point", "layout")
_NONE = -1  # an axis or group size that is not there, in the stored integers


def save_qparams(path: Path, qparams: Mapping[str, QParams]) -> None:
    """Write named ``QParams`` to an ``.npz``."""
    arrays: dict[str, Any] = {}
    for index, (name, value) in enumerate(qparams.items()):
        arrays[f"{index}/name"] = np.array(name)
        arrays[f"{index}/dtype"] = np.array(value.dtype)
        arrays[f"{index}/scale"] = value.scale
        arrays[f"{index}/zero_point"] = value.zero_point
        arrays[f"{index}/layout"] = np.array([_or_none(value.axis), _or_none(value.group_size)])
    np.savez_compressed(path, **arrays)


def load_qparams(path: Path) -> dict[str, QParams]:
    """Return what ``save_qparams`` wrote.

    Raises:
        UnsupportedModelError: If the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            count = sum(name.endswith("/name") for name in stored.files)
            rows = [{part: stored[f"{index}/{part}"] for part in _PARTS} for index in range(count)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UnsupportedModelError(f"{path}: cannot be read ({error})") from error
    return {str(row["name"]): _from_row(row) for row in rows}


def _or_none(value: int | None) -> int:
    return _NONE if value is None else value


def _from_row(row: Mapping[str, np.ndarray[Any, Any]]) -> QParams:
    axis, group_size = (None if value == _NONE else int(value) for value in row["layout"])
    return QParams(row["scale"], row["zero_point"], str(row["dtype"]), axis, group_size)
