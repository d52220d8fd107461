"""Reading a model."""

from __future__ import annotations

import pytest

from inc_core.errors import UnsupportedModelError
from inc_onnx.source import read_model


def test_path_bytes_and_proto_give_the_same(residual_model, tmp_path):
    data = residual_model.SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    for source in (path, str(path), data, residual_model):
        proto, folder = read_model(source)
        assert proto == residual_model and folder is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no graph"),
        (b"no protobuf at all \xff\xff", "is not an ONNX model"),
        (b"\x08\x08", "has no graph"),
    ],
    ids=["empty", "garbage", "header-only"],
)
def test_corrupt_file_is_named(tmp_path, content, message):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match=f"broken.onnx.*{message}"):
        read_model(path)


def test_cut_off_file_is_named(residual_model, tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(residual_model.SerializeToString()[:-100])
    with pytest.raises(UnsupportedModelError, match=r"cut\.onnx.*cut off"):
        read_model(path)


def test_missing_file_and_directory_are_named(tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"absent.*No such file"):
        read_model(tmp_path / "absent.onnx")
    (tmp_path / "inside.onnx").touch()
    with pytest.raises(UnsupportedModelError, match=r"is a directory.*inside\.onnx"):
        read_model(tmp_path)


def test_other_objects_are_named():
    with pytest.raises(UnsupportedModelError, match="received dict"):
        read_model({})
