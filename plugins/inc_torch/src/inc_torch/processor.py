"""What the processor can do fast."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path

__all__ = ["multiplies_bf16", "multiplies_int8_exactly", "multiplies_int8_tiles"]

_EXACT_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def multiplies_int8_exactly() -> bool:
    """Whether u8 x s8 products are summed in 32 bits, as VNNI and ARM do.

    Older x86 processors add pairs of products in 16 bits, which full 8-bit weights overflow. Where
    an x86 processor cannot be asked (not Linux), the answer is the safe one, false.
    """
    return not _is_x86() or bool(_EXACT_FLAGS & _flags())


def multiplies_bf16() -> bool:
    """Whether bf16 products are an instruction; elsewhere bf16 is slower than float32."""
    return bool(_BF16_FLAGS & _flags())


def multiplies_int8_tiles() -> bool:
    """Whether whole tiles of int8 are multiplied by one instruction, as AMX does."""
    return "amx_int8" in _flags()


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@lru_cache(maxsize=1)
def _flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()  # not Linux
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(lines, "").partition(":")[2].split())
