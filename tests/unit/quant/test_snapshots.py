from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inc_core.quant.observers import Observer
from inc_core.quant.snapshots import Snapshot, pack_snapshots, unpack_snapshots
from inc_core.quant.spec import TensorKey


def statistics(seed, dtype=np.float32, **needs):
    observer = Observer(**needs)
    observer.update(np.random.default_rng(seed).normal(size=(3, 5, 2)).astype(dtype) * 1e-3)
    return observer.statistics()


def assert_equal(made, found):
    for field in dataclasses.fields(made):
        left, right = getattr(made, field.name), getattr(found, field.name)
        if field.name == "histogram" and left is not None:
            assert left.limit == right.limit
            left, right = left.counts, right.counts
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


def test_statistics_come_back_bit_by_bit():
    made = {
        10: Snapshot(10, {TensorKey("a", "0"): statistics(1, needs_values=True)}),
        20: Snapshot(
            17,
            {
                TensorKey("a", "0"): statistics(2, needs_values=True, needs_channels=True),
                TensorKey("ö", ""): statistics(3, needs_channels=True, dtype=np.float64),
                TensorKey("c", "1"): statistics(4),
            },
        ),
    }
    found = unpack_snapshots(pack_snapshots(made))
    assert list(found) == [10, 20]
    for size, snapshot in made.items():
        assert found[size].samples == snapshot.samples
        assert list(found[size].statistics) == list(snapshot.statistics)
        for key, value in snapshot.statistics.items():
            assert_equal(value, found[size].statistics[key])


@pytest.mark.parametrize("content", [b"", b"{}", b"[]\n", b'{"sizes": 1, "arrays": 2}\n'])
def test_anything_else_is_refused(content):
    with pytest.raises((ValueError, KeyError, TypeError)):
        unpack_snapshots(content)


def test_a_cut_content_is_refused():
    content = pack_snapshots({1: Snapshot(1, {TensorKey("a", ""): statistics(1, needs_values=1)})})
    with pytest.raises(ValueError, match=r"buffer|size"):
        unpack_snapshots(content[:-1])
