"""Codes in files take the bits that they need, and come back as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inc_torch import narrow
from inc_torch.narrow import narrowed, widened

COUNT = 5003  # odd: the last byte of a stream is not full


def codes(lowest, highest, dtype=np.int8):
    drawn = np.random.default_rng(3).integers(lowest, highest + 1, COUNT)
    drawn[:2] = lowest, highest
    return drawn.astype(dtype)


@pytest.fixture(params=[narrow._PIECE, 1024], ids=["one piece", "several pieces"])
def pieces(request, monkeypatch):
    monkeypatch.setattr(narrow, "_PIECE", request.param)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("bits", range(1, 8))
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_bytes_with_unused_bits_take_only_those_that_are_used(bits, dtype):
    lowest = 0 if dtype == np.uint8 else -(2 ** (bits - 1))
    tensor = torch.from_numpy(codes(lowest, lowest + 2**bits - 1, dtype)).reshape(1, COUNT)
    stream, row = narrowed(tensor)
    assert stream.numel() == -(-COUNT * bits // 8)
    again = widened(stream, row)
    assert again.dtype == tensor.dtype and again.equal(tensor)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("lowest", "bits"), [(0, 1), (6, 2), (4, 3), (0, 3)])
def test_halves_of_bytes_are_narrowed_too(lowest, bits):
    low, high = codes(lowest, lowest + 2**bits - 1), codes(lowest, lowest + 2**bits - 1)[::-1]
    tensor = torch.from_numpy((low | high << 4).astype(np.uint8))
    stream, row = narrowed(tensor)
    assert stream.numel() == -(-2 * COUNT * bits // 8)
    assert widened(stream, row).equal(tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.from_numpy(codes(-127, 127)),
        torch.from_numpy(codes(0, 255, np.uint8)),
        torch.zeros(100, dtype=torch.int8),
        torch.zeros(COUNT),
        torch.zeros(COUNT, dtype=torch.int32),
    ],
    ids=["int8", "uint8", "small", "float", "int32"],
)
def test_what_would_save_nothing_stays(tensor):
    assert narrowed(tensor) is None


def test_equal_values_take_one_bit():
    stream, row = narrowed(torch.full((COUNT,), 7, dtype=torch.int8))
    assert stream.numel() == -(-COUNT // 8)
    assert (widened(stream, row) == 7).all()


def test_a_stream_of_another_length_is_refused():
    stream, row = narrowed(torch.from_numpy(codes(0, 3)))
    with pytest.raises(ValueError, match="hold no 5003 codes of 2 bits"):
        widened(stream[:-1], row)
