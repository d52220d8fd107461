"""Some of a loader's batches are those of a whole iteration."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.common import DataLoader
from inc_core.data.batches import iter_batches
from inc_core.data.order import in_random_order
from inc_core.data.spans import batch_total, batches_between


class Counted:
    """Eleven samples, and how many were read."""

    def __init__(self):
        self.read = 0

    def __getitem__(self, index):
        self.read += 1
        return np.full(2, index), index

    def __len__(self):
        return 11


@pytest.mark.parametrize(
    "make",
    [
        lambda data: DataLoader(data, batch_size=3),
        lambda data: DataLoader(data, batch_size=3, last_batch="discard"),
        lambda data: DataLoader(data, batch_size=3, shuffle=True),
        lambda data: DataLoader(data, batch_size=3, sampler=[5, 4, 3, 2, 1]),
        lambda data: in_random_order(DataLoader(data, batch_size=3), seed=1),
        lambda data: [(np.full((2, 2), n), np.full(2, n)) for n in range(4)],
    ],
    ids=["plain", "discard", "shuffle", "sampler", "random order", "list"],
)
def test_they_are_the_same_batches(make):
    loader = make(Counted())
    whole = list(iter_batches(loader))
    for first in range(len(whole)):
        for last in range(first + 1, len(whole) + 1):
            found = list(batches_between(loader, first, last))
            assert [b.labels.tolist() for b in found] == [
                b.labels.tolist() for b in whole[first:last]
            ]


def test_only_their_samples_are_read():
    data = Counted()
    list(batches_between(DataLoader(data, batch_size=3), 1, 2))
    assert data.read == 3


def test_the_number_of_batches_is_that_of_the_loader_or_of_the_limit():
    loader = DataLoader(Counted(), batch_size=3)
    assert [batch_total(loader), batch_total(loader, 2)] == [4, 2]
    assert batch_total(iter([1, 2])) is None
