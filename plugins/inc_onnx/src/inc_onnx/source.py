"""Reading a model: a path, bytes or a ``ModelProto`` becomes a proto and the folder of its data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from inc_core.errors import UnsupportedModelError

__all__ = ["read_model"]


def read_model(source: Any) -> tuple[onnx.ModelProto, Path | None]:
    """Return the proto, and the folder of its external data where it has some.

    External data stays outside: a model of more than 2 GB cannot be held in one message.

    Raises:
        UnsupportedModelError: If the file is missing or corrupt, or the source of another kind.
    """
    if isinstance(source, onnx.ModelProto):
        return _checked(source, "the given ModelProto", None)
    if isinstance(source, bytes):
        return _checked(_parse(source, "the given bytes"), "the given bytes", None)
    if isinstance(source, str | os.PathLike):
        return _read_file(Path(source))
    raise UnsupportedModelError(
        f"an ONNX model is a path, bytes or an onnx.ModelProto; received {type(source).__name__}"
    )


def _read_file(path: Path) -> tuple[onnx.ModelProto, Path | None]:
    if path.is_dir():
        raise UnsupportedModelError(
            f"{str(path)!r} is a directory; name the .onnx file in it "
            f"(there are: {', '.join(sorted(p.name for p in path.glob('*.onnx'))) or 'none'})"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnsupportedModelError(
            f"the model {str(path)!r} cannot be read: {error.strerror}; check the path"
        ) from error
    return _checked(_parse(data, repr(str(path))), repr(str(path)), path.absolute().parent)


def _parse(data: bytes, what: str) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise UnsupportedModelError(
            f"{what} is not an ONNX model ({len(data)} bytes, {error}); the file may be cut off: "
            "export it again"
        ) from error
    return proto


def _checked(
    proto: onnx.ModelProto, what: str, folder: Path | None
) -> tuple[onnx.ModelProto, Path | None]:
    if not proto.graph.node or not proto.graph.output or not proto.opset_import:
        raise UnsupportedModelError(
            f"{what} has no graph with nodes and outputs: it is no ONNX model, or it is corrupt"
        )
    external = [t for t in proto.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if not external:
        return proto, None
    _check_data_files(external, what, folder)
    return proto, folder


def _check_data_files(tensors: list[onnx.TensorProto], what: str, folder: Path | None) -> None:
    if folder is None:
        raise UnsupportedModelError(
            f"{what} keeps weights in external files; give the path of the .onnx file instead"
        )
    names = {e.value for t in tensors for e in t.external_data if e.key == "location"}
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise UnsupportedModelError(
            f"{what} needs the data file {missing[0]!r} beside it, which is missing; "
            "copy it together with the model"
        )
