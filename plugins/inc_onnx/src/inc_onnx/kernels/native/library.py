"""The library of inc's operators for ONNX Runtime: found, loaded, registered with sessions."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from inc_core.errors import ConfigError, UnsupportedModelError
from inc_core.native import LIBRARY_SUFFIX, kernel_choice, use_isa

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

__all__ = ["DOMAIN", "LIBRARY", "isa", "load", "register", "uses_library", "wanted"]

DOMAIN = "ai.inc"
SWITCH = "native_kernels"
"""Name of the switch under ``quantization.recipes``."""

LIBRARY = Path(__file__).with_name(f"libinc_onnx{LIBRARY_SUFFIX}")
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
        ConfigError: If it is asked for and was not built, or ``INC_KERNELS`` names nothing that exists.
    """
    if not recipes.get(SWITCH, False) or kernel_choice() == "reference":
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
    use_isa(library, kernel_choice())
    return library


def isa() -> str:
    """Return the instruction set in use."""
    return use_isa(load(), "")


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
