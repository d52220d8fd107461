"""The library of inc's operators for ONNX Runtime: found, loaded, registered with sessions."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from inc_core.errors import ConfigError, UnsupportedModelError, did_you_mean

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

__all__ = ["DOMAIN", "LIBRARY", "isa", "load", "register", "uses_library", "wanted"]

DOMAIN = "ai.inc"
SWITCH = "native_kernels"
"""Name of the switch under ``quantization.recipes``."""

SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"
LIBRARY = Path(__file__).with_name(f"libinc_onnx{SUFFIX}")
ISAS = ("scalar", "avx2", "avx512_vnni")
"""Instruction sets, by the number that the library gives them."""

CHOICES = ("", "native", "reference", *ISAS)
_HOW_TO_BUILD = (
    "install a C++ compiler, then inc-onnx again (INC_REQUIRE_NATIVE=1 shows why the build fails), "
    f"or leave out quantization.recipes.{SWITCH}"
)


def wanted(recipes: Mapping[str, bool]) -> bool:
    """Say whether a run is to use the library.

    ``INC_KERNELS=reference`` overrides the switch: the runtime's own operators are the reference here.

    Args:
        recipes: Switches of ``quantization.recipes``.

    Raises:
        ConfigError: If it is asked for and was not built, or ``INC_KERNELS`` is not one of ``CHOICES``.
    """
    if not recipes.get(SWITCH, False) or _choice() == "reference":
        return False
    if not LIBRARY.exists():
        raise ConfigError(
            f"quantization.recipes.{SWITCH}: the native library was not built when inc-onnx was "
            f"installed; {_HOW_TO_BUILD}"
        )
    load()
    return True


@functools.lru_cache(maxsize=1)
def load() -> ctypes.CDLL:
    """Load the library and choose its instruction set as ``INC_KERNELS`` says."""
    library = ctypes.CDLL(str(LIBRARY))
    size, integer, pointer = ctypes.c_size_t, ctypes.c_int64, ctypes.c_void_p
    for name, result, arguments in (
        ("inc_int8_packed_size", size, [integer] * 2),
        ("inc_int8_pack", None, [pointer, integer, integer, pointer, pointer]),
        ("inc_int4_packed_size", size, [integer] * 3),
        ("inc_int4_pack", None, [pointer, integer, integer, integer, pointer]),
        ("inc_int4_pack_scales", None, [pointer, pointer, integer, integer, pointer, pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    choice = _choice()
    if choice in ISAS and library.inc_set_isa(ISAS.index(choice)) != ISAS.index(choice):
        raise ConfigError(f"INC_KERNELS={choice!r} cannot be met: this CPU has no {choice}")
    return library


def isa() -> str:
    """Return the instruction set in use."""
    return ISAS[load().inc_isa()]


def uses_library(proto: onnx.ModelProto) -> bool:
    """Whether a model has operators of the library."""
    return any(opset.domain == DOMAIN for opset in proto.opset_import)


def register(options: ort.SessionOptions) -> None:
    """Let a session know the operators.

    Raises:
        UnsupportedModelError: If the library was not built here.
    """
    if not LIBRARY.exists():
        raise UnsupportedModelError(
            f"the model has operators of the domain {DOMAIN!r}, whose library was not built when inc-onnx "
            f"was installed; {_HOW_TO_BUILD}"
        )
    load()
    options.register_custom_ops_library(str(LIBRARY))


def _choice() -> str:
    choice = os.environ.get("INC_KERNELS", "")
    if choice not in CHOICES:
        raise ConfigError(
            f"INC_KERNELS={choice!r}: no such kernels.{did_you_mean(choice, CHOICES[1:])} "
            f"Choices: {', '.join(CHOICES[1:])}"
        )
    return choice
