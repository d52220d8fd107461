"""Quantization parameters survive a file, and a file that is damaged says so."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import UnsupportedModelError
from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.qparams_file import load_qparams, save_qparams
from inc_core.quant.spec import TensorSpec
from inc_core.quant.weights import quantize_weight

U8 = TensorSpec("uint8", "asym")


def test_saved_qparams_are_loaded_with_every_field(tmp_path, rng):
    _, grouped = quantize_weight(
        rng.normal(size=(8, 3)), TensorSpec("int4", "sym", "per_group", group_size=4), axis=1
    )
    written = {
        "conv1/0|uint8": QParams(np.float32(0.5), np.int32(3), "uint8"),
        "file": choose_qparams(-rng.random(4), rng.random(4), U8, axis=1),
        "ünicode": grouped,
    }
    save_qparams(tmp_path / "qparams.npz", written)
    read = load_qparams(tmp_path / "qparams.npz")
    assert list(read) == list(written)
    for name, expected in written.items():
        found = read[name]
        np.testing.assert_array_equal(found.scale, expected.scale)
        np.testing.assert_array_equal(found.zero_point, expected.zero_point)
        assert (found.scale.dtype, found.zero_point.dtype) == (np.float32, np.int32)
        assert (found.dtype, found.axis, found.group_size) == (
            expected.dtype,
            expected.axis,
            expected.group_size,
        )


def test_saved_qparams_are_the_same_bytes_again(tmp_path):
    written = {"x": QParams(np.float32(0.5), np.int32(3), "uint8")}
    save_qparams(tmp_path / "one.npz", written)
    save_qparams(tmp_path / "two.npz", written)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_missing_or_cut_qparams_name_the_file(tmp_path):
    path = tmp_path / "qparams.npz"
    with pytest.raises(UnsupportedModelError, match=r"qparams\.npz: cannot be read"):
        load_qparams(path)
    save_qparams(path, {"x": QParams(np.float32(0.5), np.int32(3), "uint8")})
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(UnsupportedModelError, match=r"qparams\.npz: cannot be read"):
            load_qparams(path)


def test_no_qparams_are_saved_and_loaded_too(tmp_path):
    save_qparams(tmp_path / "qparams.npz", {})
    assert load_qparams(tmp_path / "qparams.npz") == {}
