"""Native kernels of plugins: what ``INC_KERNELS`` asks for. Each plugin builds and loads its own library.

``reference`` takes kernels in the framework's own ops, ``native`` demands the library, and the name of an
instruction set demands the library on that one. Unset or empty: the best that there is.
"""

from __future__ import annotations

import ctypes
import os
import sys

from inc_core.errors import ConfigError, did_you_mean

__all__ = ["ISAS", "LIBRARY_SUFFIX", "kernel_choice", "use_isa"]

VARIABLE = "INC_KERNELS"
ISAS = ("scalar", "avx2", "avx512_vnni")
"""Instruction sets, by the number that the libraries give them (``inc_isa``)."""

LIBRARY_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"

_CHOICES = ("native", "reference", *ISAS)


def kernel_choice() -> str:
    """Return ``""``, ``"native"``, ``"reference"`` or one of ``ISAS``.

    Raises:
        ConfigError: If the variable says something else.
    """
    choice = os.environ.get(VARIABLE, "")
    if choice and choice not in _CHOICES:
        raise ConfigError(
            f"{VARIABLE}={choice!r}: no such kernels.{did_you_mean(choice, _CHOICES)} "
            f"Choices: {', '.join(_CHOICES)}"
        )
    return choice


def use_isa(library: ctypes.CDLL, choice: str) -> str:
    """Let a loaded library use the instruction set that a choice names, and return the one in use.

    Raises:
        ConfigError: If this CPU does not have it.
    """
    if choice in ISAS and library.inc_set_isa(ISAS.index(choice)) != ISAS.index(choice):
        raise ConfigError(f"{VARIABLE}={choice!r} cannot be met: this CPU has no {choice}")
    return ISAS[library.inc_isa()]
