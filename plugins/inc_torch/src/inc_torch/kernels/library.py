"""Find and load the native library, once a process, as ``INC_KERNELS`` says.

The library is ``libinc_torch.so`` beside this file, built when the plugin was installed. It reaches torch
through its stable C interface, found by name at run time, so one binary serves every torch that has it.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from pathlib import Path
from typing import NamedTuple

import torch

from inc_core.errors import ConfigError
from inc_core.native import ISAS, LIBRARY_SUFFIX, kernel_choice, use_isa
from inc_torch import cuda
from inc_torch.kernels import operators

logger = logging.getLogger("inc_core.torch.kernels")

LIBRARY = Path(__file__).with_name(f"libinc_torch{LIBRARY_SUFFIX}")


class KernelStatus(NamedTuple):
    """Which kernels run the operators on CPU, and why."""

    native: bool
    isa: str | None
    """One of ``ISAS`` if native."""
    reason: str

    def __str__(self) -> str:
        return f"native {self.isa}" if self.native else "reference"


class _UnavailableError(Exception):
    """Why the native library cannot be used."""


def kernel_status() -> KernelStatus:
    """Say which kernels are in use: ``str(kernel_status())`` is what the ledger shows."""
    return load()[0]


@functools.lru_cache(maxsize=1)
def load() -> tuple[KernelStatus, torch.library.Library]:
    """Register the operators, with native kernels if they are wanted and can be had.

    Raises:
        ConfigError: If ``INC_KERNELS`` names nothing that exists, or demands what is not there.
    """
    choice = kernel_choice()
    library = operators.register()
    cuda.register(library)
    if choice == "reference":
        return KernelStatus(False, None, "INC_KERNELS=reference"), library
    try:
        isa = _load_native(choice)
    except _UnavailableError as error:
        if choice:
            raise ConfigError(f"INC_KERNELS={choice!r} cannot be met: {error}") from error
        logger.warning("kernels run in plain torch, slower: %s", error)
        return KernelStatus(False, None, str(error)), library
    return KernelStatus(True, isa, "INC_KERNELS" if choice in ISAS else "best of this CPU"), library


def _load_native(choice: str) -> str:
    """Register the native kernels and give back the instruction set in use."""
    if not LIBRARY.exists():
        raise _UnavailableError(
            "the native library was not built when inc-torch was installed (install a C++ compiler, then "
            "inc-torch again; INC_REQUIRE_NATIVE=1 shows why the build fails)"
        )
    native = _open()
    isa = use_isa(native, choice)
    libtorch = Path(torch.__file__).parent / "lib" / f"libtorch_cpu{LIBRARY_SUFFIX}"
    missing = native.inc_torch_register(str(libtorch).encode())
    if missing:
        raise _UnavailableError(
            f"torch {torch.__version__} cannot take native kernels: {missing.decode()}"
        )
    return isa


def _open() -> ctypes.CDLL:
    try:
        native = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise _UnavailableError(f"{LIBRARY.name} cannot be loaded: {error}") from error
    native.inc_torch_register.argtypes = [ctypes.c_char_p]
    native.inc_torch_register.restype = ctypes.c_char_p
    return native
