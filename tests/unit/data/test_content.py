"""The digest of data sees every value, whatever its dtype and memory order."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.data.arrays import raw_bytes
from inc_core.data.content import digest_of_arrays

ARRAYS = {
    "float": np.arange(12, dtype=np.float32).reshape(3, 4),
    "no sample": np.zeros((0, 3)),
    "number": np.float64(3),
    "transposed": np.arange(12.0).reshape(3, 4).T,
    "dates": np.array(["2026-01-01", "2026-01-02"], "M8[D]"),
    "texts": np.array(["a", "bc"]),
    "objects": np.array([None, "x"], object),
    "fields": np.zeros(2, [("a", "f4"), ("b", "i8")]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_equal_arrays_have_one_digest_and_others_have_another(name):
    array = np.asarray(ARRAYS[name])
    assert digest_of_arrays(array) == digest_of_arrays(np.array(array, order="C"))
    others = [digest_of_arrays(other) for key, other in ARRAYS.items() if key != name]
    assert digest_of_arrays(array) not in others


def test_a_dtype_without_a_buffer_of_its_own_has_one_too():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    one, other = (np.asarray([1, value], ml_dtypes.bfloat16) for value in (2, 3))
    assert digest_of_arrays(one) != digest_of_arrays(other)


def test_bytes_are_not_copied_where_they_lie_in_order():
    array = np.zeros((2, 3))
    view = raw_bytes(array)
    array[1, 2] = 1
    assert view.tobytes() == array.tobytes()
