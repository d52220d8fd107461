from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

from inc_core.errors import DataError
from inc_core.quant.batching import batch_length, slice_batch

Pair = namedtuple("Pair", "left right")
ARRAY = np.arange(12).reshape(4, 3)


@pytest.mark.parametrize(
    "nest",
    [ARRAY, (ARRAY, ARRAY), [ARRAY], {"x": ARRAY}, {"x": (ARRAY, ARRAY)}, Pair(ARRAY, ARRAY)],
    ids=["array", "tuple", "list", "dict", "nested", "namedtuple"],
)
def test_every_nest_has_a_length_and_is_cut_in_place(nest):
    assert batch_length(nest) == 4
    cut = slice_batch(nest, 1, 3)
    assert type(cut) is type(nest)
    assert batch_length(cut) == 2
    first = next(iter(cut.values())) if isinstance(cut, dict) else cut
    while isinstance(first, tuple | list):
        first = first[0]
    np.testing.assert_array_equal(first, ARRAY[1:3])


def test_arrays_without_the_batch_dimension_are_passed_on_whole():
    cut = slice_batch({"x": ARRAY, "scale": np.float32(2), "table": np.ones((9, 2))}, 0, 1)
    assert cut["x"].tolist() == [[0, 1, 2]]
    assert cut["scale"] == 2
    assert cut["table"].shape == (9, 2)


@pytest.mark.parametrize("nest", [3, "text", None, np.float32(1)], ids=repr)
def test_what_is_no_batch_is_named(nest):
    with pytest.raises(DataError, match=f"received {type(nest).__name__}"):
        batch_length(nest)


@pytest.mark.parametrize("nest", [(), [], {}], ids=repr)
def test_an_empty_collection_is_no_batch(nest):
    with pytest.raises(DataError, match="holds no array"):
        batch_length(nest)
