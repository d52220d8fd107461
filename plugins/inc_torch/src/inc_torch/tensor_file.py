"""Tensors in one safetensors file, checked by its digest before anything is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from inc_core.errors import UnsupportedModelError
from inc_core.manifest import file_digest
from inc_torch.narrow import narrowed, widened

__all__ = ["TENSOR_FILE", "read_tensors", "write_tensors"]

TENSOR_FILE = "model.safetensors"

_CHANNELS_LAST = "channels_last"


def write_tensors(directory: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write tensors, and return what ``read_tensors`` needs, as plain values.

    That is the digest of the file, and how those tensors lie in it that are not as they were: in
    channels-last memory, or narrower than their dtype. Equal tensors give equal bytes.
    """
    plain: dict[str, Tensor] = {}
    layout: dict[str, Any] = {}
    storages: set[int] = set()
    for name, tensor in sorted(tensors.items()):
        if (narrow := narrowed(tensor)) is not None:
            plain[name], layout[name] = narrow
            continue
        plain[name] = _alone(tensor.detach(), storages)
        if _is_channels_last(tensor):
            layout[name] = _CHANNELS_LAST
    path = directory / TENSOR_FILE
    save_file(plain, path)
    return {"tensors": file_digest(path), "layout": layout}


def read_tensors(directory: Path, header: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return what ``write_tensors`` wrote.

    Raises:
        FileNotFoundError: If there is no file.
        UnsupportedModelError: If the file was cut or changed.
    """
    path = directory / TENSOR_FILE
    # read, not mapped: the file may be overwritten while the model lives
    blob = path.read_bytes()
    if hashlib.sha256(blob).hexdigest() != header.get("tensors"):
        raise UnsupportedModelError(
            f"{path} was cut or changed after it was saved: its digest is not the one noted with it"
        )
    try:
        tensors = load(blob)
    except SafetensorError as error:
        raise UnsupportedModelError(f"{path} is corrupt ({error})") from error
    return {name: _laid(t, header["layout"].get(name)) for name, t in tensors.items()}


def _alone(tensor: Tensor, storages: set[int]) -> Tensor:
    """Return a contiguous tensor that shares no memory with another (tied weights, slices)."""
    storage = tensor.untyped_storage()
    is_whole = storage.nbytes() == tensor.numel() * tensor.element_size()
    if tensor.is_contiguous() and is_whole and storage.data_ptr() not in storages:
        storages.add(storage.data_ptr())
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def _laid(tensor: Tensor, layout: Any) -> Tensor:
    """Return a tensor as it was before it was written."""
    if layout is None:
        return tensor
    if layout == _CHANNELS_LAST:
        # not `contiguous`, which leaves the strides of one channel as they are
        return torch.empty_like(tensor, memory_format=torch.channels_last).copy_(tensor)
    return widened(tensor, layout)


def _is_channels_last(tensor: Tensor) -> bool:
    """Say it by the strides: a weight of one channel is both, and torch chooses its kernel by them."""
    if tensor.dim() != 4:
        return False
    last = torch.empty(tensor.shape, device="meta", memory_format=torch.channels_last).stride()
    plain = torch.empty(tensor.shape, device="meta").stride()
    return tensor.stride() == last != plain
