"""From the core's arrays to tensors, and back. Nowhere else is either turned into the other."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inc_core.errors import DataError, did_you_mean
from inc_torch.signature import Signature

__all__ = ["named_tensors", "ordered_tensors", "to_arrays"]


def named_tensors(module: nn.Module, inputs: Any, names: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return one batch by parameter of ``forward``, for a module that has no signature yet.

    Args:
        module: The user's module.
        inputs: An array, a tuple or list of arrays in the order of ``forward``, or a mapping.
        names: Of the inputs, where the user gave them; else those of ``forward``.

    Raises:
        DataError: If there are more arrays than parameters, or a name is unknown.
    """
    parameters, open_ended = _parameters(module)
    known = list(names) or parameters
    if isinstance(inputs, Mapping):
        unknown = [name for name in inputs if name not in known]
        if unknown and not open_ended:
            raise DataError(
                f"forward has no parameter {unknown[0]!r}.{did_you_mean(unknown[0], known)} "
                f"It has: {', '.join(known)}"
            )
        return {name: _tensor(name, value) for name, value in inputs.items()}
    arrays = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if len(arrays) > len(known):
        raise DataError(f"forward takes {', '.join(known)}; received {len(arrays)} arrays")
    return {name: _tensor(name, value) for name, value in zip(known, arrays, strict=False)}


def ordered_tensors(signature: Signature, inputs: Any, names: Sequence[str] = ()) -> list[Tensor]:
    """Return one batch in the order of a signature; float64 becomes what the model takes.

    Raises:
        DataError: If names, number, shapes or dtypes do not fit.
    """
    infos = signature.inputs
    known = list(names) if len(names) == len(infos) else [info.name for info in infos]
    if isinstance(inputs, Mapping):
        _check_names(inputs, known)
        values = [inputs[name] for name in known]
    else:
        values = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    if len(values) != len(infos):
        expected = "; ".join(map(str, infos))
        raise DataError(
            f"the model takes {len(infos)} input(s) ({expected}), received {len(values)}"
        )
    tensors = [
        _tensor(name, value, info.torch_dtype)
        for name, value, info in zip(known, values, infos, strict=True)
    ]
    for info, tensor in zip(infos, tensors, strict=True):
        if not info.accepts(tensor.shape):
            raise DataError(
                f"input {info.name!r} must have the shape of {info}, received {tuple(tensor.shape)}"
            )
    return tensors


def to_arrays(tensors: Sequence[Tensor]) -> Any:
    """Return one array, or a tuple of several; bf16 results become float32."""
    arrays = tuple(_array(tensor) for tensor in tensors)
    return arrays[0] if len(arrays) == 1 else arrays


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.contiguous().numpy()


def _check_names(inputs: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in inputs:
        if name not in known:
            raise DataError(
                f"the model has no input {name!r}.{did_you_mean(str(name), known)} "
                f"It has: {', '.join(known)}"
            )
    missing = [name for name in known if name not in inputs]
    if missing:
        raise DataError(f"input {missing[0]!r} is missing; the model takes {', '.join(known)}")


def _tensor(name: str, value: Any, dtype: torch.dtype | None = None) -> Tensor:
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DataError(f"input {name!r} must be numbers, received dtype {array.dtype}")
    # what is fed may be changed in place by the user's own code; arrays of others are not
    tensor = torch.from_numpy(np.array(array, copy=True, order="C"))
    if dtype is not None:
        if tensor.is_floating_point() and not dtype.is_floating_point:
            raise DataError(
                f"input {name!r} must be integers ({dtype}), received dtype {array.dtype}"
            )
        return tensor.to(dtype)
    if tensor.dtype in (torch.float64, torch.float16):
        return tensor.float()
    return tensor.long() if tensor.dtype in (torch.int32, torch.int16) else tensor


def _parameters(module: nn.Module) -> tuple[list[str], bool]:
    """Return the names that ``forward`` takes, and whether it takes any others."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    return [p.name for p in parameters if p.kind in named], open_ended
