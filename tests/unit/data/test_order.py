from __future__ import annotations

import numpy as np
import pytest

from inc_core.data.batches import iter_batches
from inc_core.data.dataloader import DataLoader
from inc_core.data.order import in_random_order, random_order

PAIRS = [(np.array([k], np.float32), k) for k in range(23)]


def batches(loader, count=None):
    return [batch.labels.tolist() for batch in iter_batches(loader)][:count]


def samples(loader, count=None):
    return [label for batch in batches(loader, count) for label in batch]


def test_the_same_samples_in_batches_of_the_same_size_in_another_order():
    loader = DataLoader(PAIRS, batch_size=5)
    view = in_random_order(loader, seed=1)
    assert list(map(len, batches(view))) == [5, 5, 5, 5, 3]
    assert sorted(samples(view)) == list(range(23))
    assert samples(view) != list(range(23))
    assert samples(loader) == list(range(23))


def test_the_order_is_the_seeds_every_time():
    loader = DataLoader(PAIRS, batch_size=5)
    first = in_random_order(loader, seed=1)
    assert samples(first) == samples(first) == samples(in_random_order(loader, seed=1))
    assert samples(first) != samples(in_random_order(loader, seed=2))


def test_what_discard_drops_stays_dropped():
    loader = DataLoader(PAIRS, batch_size=5, last_batch="discard")
    assert sorted(samples(in_random_order(loader, seed=1))) == list(range(20))


def test_a_limit_of_batches_takes_the_same_samples():
    loader = DataLoader(PAIRS, batch_size=5)
    view = in_random_order(loader, seed=1, batches=2)
    assert sorted(samples(view)) == list(range(10))
    assert sorted(samples(in_random_order(loader, seed=1, batches=99))) == list(range(23))


def test_a_shuffling_loader_keeps_its_choice_of_samples():
    loader = DataLoader(PAIRS, batch_size=5, shuffle=True)
    view = in_random_order(loader, seed=1, batches=2)
    assert sorted(samples(view)) == sorted(samples(loader, 2))


class Stream:
    def __iter__(self):
        return iter(PAIRS)


@pytest.mark.parametrize(
    "loader",
    [
        [(np.zeros((2, 1)), np.zeros(2))],
        DataLoader(Stream(), batch_size=5),
        DataLoader(PAIRS, batch_size=5, sampler=[3, 1, 2]),
        DataLoader(PAIRS, batch_sampler=[[3, 1], [2]]),
    ],
    ids=["foreign loader", "no index", "sampler", "batch_sampler"],
)
def test_an_order_that_is_not_ours_stays(loader):
    assert in_random_order(loader, seed=1) is None


def test_random_order_holds_every_number():
    assert sorted(random_order(100, 3).tolist()) == list(range(100))
