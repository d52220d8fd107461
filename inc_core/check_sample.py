"""A few inputs and the outputs they gave, stored with a model so that it can be verified later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["as_outputs", "load_sample", "save_sample"]

_ARRAY, _SEQUENCE, _MAPPING = "array", "sequence", "mapping"


def as_outputs(outputs: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """Return the outputs of ``Adaptor.predict`` as a tuple of arrays."""
    if isinstance(outputs, tuple | list):
        return tuple(np.asarray(output) for output in outputs)
    return (np.asarray(outputs),)


def save_sample(path: Path, inputs: Any, outputs: Any) -> None:
    """Write inputs (an array, a sequence or a mapping of arrays) and outputs to an ``.npz``."""
    if isinstance(inputs, Mapping):
        kind, named = _MAPPING, dict(inputs)
    elif isinstance(inputs, tuple | list):
        kind, named = _SEQUENCE, {str(index): array for index, array in enumerate(inputs)}
    else:
        kind, named = _ARRAY, {"0": inputs}
    arrays: dict[str, Any] = {f"input/{name}": np.asarray(array) for name, array in named.items()}
    arrays |= {f"output/{index}": array for index, array in enumerate(as_outputs(outputs))}
    np.savez_compressed(path, kind=np.array(kind), **arrays)


def load_sample(path: Path) -> tuple[Any, tuple[np.ndarray[Any, Any], ...]]:
    """Return what ``save_sample`` wrote: inputs in their form, outputs as a tuple."""
    with np.load(path, allow_pickle=False) as stored:
        kind = str(stored["kind"])
        named = {
            name.removeprefix("input/"): stored[name]
            for name in stored.files
            if name.startswith("input/")
        }
        count = sum(name.startswith("output/") for name in stored.files)
        outputs = tuple(stored[f"output/{index}"] for index in range(count))
    if kind == _MAPPING:
        return named, outputs
    ordered = tuple(named[str(index)] for index in range(len(named)))
    return (ordered if kind == _SEQUENCE else ordered[0]), outputs
