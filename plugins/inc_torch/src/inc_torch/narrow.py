"""Integers in files as wide as their values need.

Kernels compute with 4 and 8 bits, so codes of 2 or 3 bits lie in halves of bytes, and codes of 5 to 7 in
bytes. In a file each takes its own width: the smallest value is subtracted, and what is left is one
stream of bits, the highest of each code first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["narrowed", "widened"]

_DTYPES = {torch.uint8: "uint8", torch.int8: "int8"}
_BYTE, _HALF = 8, 4
# a bias or a table of scales would save less than its description takes
_SMALLEST = 4096
# codes at once, a multiple of 8 so that each piece ends with a whole byte; a piece takes 8 bytes for each
_PIECE = 1 << 20


def narrowed(tensor: Tensor) -> tuple[Tensor, dict[str, Any]] | None:
    """Return the integers of a tensor as a stream of bits, and what is needed to read them.

    Args:
        tensor: Of any dtype; int8 and uint8 with unused bits in every byte or half byte are narrowed.

    Returns:
        uint8 of one dimension and plain values, or None if nothing would be saved.
    """
    if tensor.dtype not in _DTYPES or tensor.numel() < _SMALLEST:
        return None
    values = tensor.detach().contiguous().flatten().numpy()
    lanes = (_BYTE,) if values.dtype == np.int8 else (_BYTE, _HALF)
    choices = []
    for lane in lanes:
        lowest, highest = _extremes(values, lane)
        bits = max(1, (highest - lowest).bit_length())
        choices.append((bits * _BYTE // lane, lane, bits, lowest))
    per_byte, lane, bits, lowest = min(choices)
    if per_byte >= _BYTE:
        return None
    stream = np.concatenate([_packed(codes, bits) for codes in _codes(values, lane, lowest)])
    row = {
        "dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape),
        "lane": lane, "bits": bits, "lowest": lowest,
    }  # fmt: skip
    return torch.from_numpy(stream), row


def widened(stream: Tensor, row: Mapping[str, Any]) -> Tensor:
    """Inverse of ``narrowed``.

    Raises:
        ValueError: If the stream has not the length that its description asks for.
    """
    values = np.empty(row["shape"], dtype=row["dtype"])
    lane, bits = row["lane"], row["bits"]
    count = values.size * (_BYTE // lane)
    if stream.numel() != -(-count * bits // _BYTE):
        raise ValueError(f"{stream.numel()} bytes hold no {count} codes of {bits} bits")
    flat, packed = values.reshape(-1), stream.numpy()
    step = _PIECE * bits // _BYTE
    for start in range(0, packed.size, step):
        codes = _unpacked(packed[start : start + step], bits)
        first = start * _BYTE // bits
        codes = codes[: count - first].astype(np.int16) + row["lowest"]
        if lane == _HALF:
            codes = codes[0::2] | codes[1::2] << _HALF
        place = first * lane // _BYTE
        flat[place : place + codes.size] = codes
    return torch.from_numpy(values)


def _extremes(values: np.ndarray, lane: int) -> tuple[int, int]:
    if lane == _BYTE:
        return int(values.min()), int(values.max())
    halves = [half(part) for part in _pieces(values) for half in (_low, _high)]
    return min(int(h.min()) for h in halves), max(int(h.max()) for h in halves)


def _codes(values: np.ndarray, lane: int, lowest: int) -> Iterator[np.ndarray]:
    """Yield the codes of each piece as unsigned numbers, the low half of each byte first."""
    for part in _pieces(values):
        if lane == _HALF:
            part = np.stack([_low(part), _high(part)], axis=1).reshape(-1)
        yield (part.astype(np.int16) - lowest).astype(np.uint8)


def _pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, values.size, _PIECE):
        yield values[start : start + _PIECE]


def _low(part: np.ndarray) -> np.ndarray:
    return part & (2**_HALF - 1)


def _high(part: np.ndarray) -> np.ndarray:
    return part >> _HALF


def _packed(codes: np.ndarray, bits: int) -> np.ndarray:
    return np.packbits(np.unpackbits(codes[:, None], axis=1)[:, _BYTE - bits :])


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    stream = np.unpackbits(packed)
    stream = stream[: stream.size // bits * bits].reshape(-1, bits)
    return np.packbits(stream, axis=1)[:, 0] >> (_BYTE - bits)
