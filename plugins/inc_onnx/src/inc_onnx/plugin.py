"""The plugin: what it offers by name, and how it recognizes a model. Imports no framework."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inc_core import hookimpl
from inc_core.hookspecs.adaptor import Adaptor, Guess

__all__ = ["inc_adaptors", "inc_guess_framework"]

_ADAPTOR = "inc_onnx.adaptor:OnnxAdaptor"
_NAMES = (
    "onnxruntime",
    "onnxrt_qdq",
    "onnxrt_qlinearops",
    "onnxrt_qoperator",
    "onnxrt_integerops",
)
# a ModelProto starts with field 1, ir_version, as a small varint
_FIRST_BYTE = b"\x08"


@hookimpl
def inc_adaptors() -> Mapping[str, type[Adaptor] | str]:
    """Offer one adaptor under the names that users know."""
    return dict.fromkeys(_NAMES, _ADAPTOR)


@hookimpl
def inc_guess_framework(source: Any) -> Guess | None:
    """Recognize a ModelProto, an ``.onnx`` file, or a file whose content looks like one."""
    onnx = sys.modules.get("onnx")
    if onnx is not None and isinstance(source, onnx.ModelProto):
        return Guess("onnxruntime", 1.0, "it is an onnx.ModelProto")
    if isinstance(source, str | os.PathLike):
        return _guess_file(Path(source))
    if isinstance(source, bytes) and _looks_like_onnx(source[:2]):
        return Guess("onnxruntime", 0.5, "the bytes begin like an ONNX model")
    return None


def _guess_file(path: Path) -> Guess | None:
    if path.suffix.lower() == ".onnx":
        return Guess("onnxruntime", 0.95, "the suffix is .onnx")
    if path.suffix.lower() != ".ort" and path.is_file():
        with path.open("rb") as file:
            if _looks_like_onnx(file.read(2)) and path.suffix.lower() not in (".pb", ".params"):
                return Guess("onnxruntime", 0.3, "the content begins like an ONNX model")
    return None


def _looks_like_onnx(start: bytes) -> bool:
    return len(start) == 2 and start[:1] == _FIRST_BYTE and 3 <= start[1] <= 30
