"""Small unsigned integers in words of 32 bits, the first in the lowest bits."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pack_words", "pack_words_across", "unpack_words", "unpack_words_across"]

_WORD = 32


def pack_words(codes: Tensor, bits: int) -> Tensor:
    """Pack along the last dimension, whole codes per word; the last word is filled up with zeros.

    Args:
        codes: Integers in ``[0, 2**bits)``, ``(..., n)``.
        bits: A divisor of 32.

    Returns:
        int32 ``(..., ceil(n * bits / 32))``.
    """
    per_word = _WORD // bits
    padded = torch.nn.functional.pad(codes.long(), (0, -codes.shape[-1] % per_word))
    lanes = padded.reshape(*codes.shape[:-1], -1, per_word)
    shifts = torch.arange(per_word) * bits
    return _as_int32((lanes << shifts).sum(-1))


def unpack_words(words: Tensor, bits: int, count: int) -> Tensor:
    """Inverse of ``pack_words``: int64 ``(..., count)``."""
    shifts = torch.arange(_WORD // bits) * bits
    lanes = (words.long()[..., None] >> shifts) & (2**bits - 1)
    return lanes.flatten(-2)[..., :count]


def pack_words_across(codes: Tensor, bits: int) -> Tensor:
    """Pack along the last dimension as one stream of bits, in which codes may cross words.

    Args:
        codes: Integers in ``[0, 2**bits)``, ``(..., n)``, ``n * bits`` a multiple of 32.
        bits: 1 to 32.

    Returns:
        int32 ``(..., n * bits / 32)``.
    """
    stream = (codes.long()[..., None] >> torch.arange(bits)) & 1
    stream = stream.flatten(-2).reshape(*codes.shape[:-1], -1, _WORD)
    return _as_int32((stream << torch.arange(_WORD)).sum(-1))


def unpack_words_across(words: Tensor, bits: int) -> Tensor:
    """Inverse of ``pack_words_across``: int64 ``(..., words * 32 / bits)``."""
    stream = (words.long()[..., None] >> torch.arange(_WORD)) & 1
    stream = stream.flatten(-2).reshape(*words.shape[:-1], -1, bits)
    return (stream << torch.arange(bits)).sum(-1)


def _as_int32(words: Tensor) -> Tensor:
    """Return int64 words below 2**32 as the int32 of the same bits."""
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
