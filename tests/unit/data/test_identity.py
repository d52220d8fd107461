"""``data_identity``: recognises the same data, notices other data, leaves no trace."""

from __future__ import annotations

import random

import numpy as np
import pytest

from inc_core.common import DataLoader
from inc_core.data.identity import data_identity


class Squares:
    def __init__(self, size=9, power=2):
        self.size, self.power = size, power

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return np.float32(index), index**self.power


class Stream:
    def __iter__(self):
        return iter([(np.float32(1), 0), (np.float32(2), 1)])


class Augmented(Squares):
    def __getitem__(self, index):
        return np.random.random(3) + random.random(), index


class ForeignLoader:
    """What a framework's loader looks like from outside; iterating it is not free."""

    batch_size = 4

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        raise AssertionError("it should not be iterated")


LOADERS = {
    "by index": lambda: DataLoader(Squares(), 4),
    "stream": lambda: DataLoader(Stream(), 4),
    "list of batches": lambda: [(np.zeros((2, 3)), [0, 1])] * 3,
    "foreign loader": lambda: ForeignLoader(Squares()),
    "shuffled": lambda: DataLoader(Squares(), 4, shuffle=True),
    "random augmentation": lambda: DataLoader(Augmented(), 4),
}


@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_the_same_data_is_recognised(make):
    assert data_identity(make()) == data_identity(make())


@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_identity_is_text(make):
    assert all(isinstance(value, str) for value in data_identity(make()).values())


@pytest.mark.parametrize("make", LOADERS.values(), ids=LOADERS)
def test_global_random_states_stay(make):
    before = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    data_identity(make())
    after = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    assert after == before


def differing(one, other):
    first, second = data_identity(one), data_identity(other)
    return sorted(name for name in {**first, **second} if first.get(name) != second.get(name))


@pytest.mark.parametrize(
    ("other", "names"),
    [
        (DataLoader(Squares(power=3), 4), ["content", "samples"]),
        (DataLoader(Squares(size=10), 4), ["content", "length", "samples"]),
        (DataLoader(Squares(), 5), ["batches"]),
        (DataLoader(Squares(), 4, shuffle=True), ["batches"]),
        (DataLoader(Squares(), 4, sampler=[1, 2]), ["batches"]),
        (DataLoader(Squares(), 4, collate_fn=tuple), ["batches"]),
    ],
    ids=["parameter", "length", "batch size", "shuffle", "sampler", "collate_fn"],
)
def test_what_differs_is_named(other, names):
    assert differing(DataLoader(Squares(), 4), other) == names


def test_other_values_in_the_same_class_are_noticed():
    one, other = np.zeros((8, 2)), np.zeros((8, 2))
    other[-1] = 1
    assert "samples" in differing(DataLoader(one), DataLoader(other))


def test_random_augmentation_does_not_prevent_resuming():
    assert data_identity(DataLoader(Augmented()))["samples"] == "different each time"


def test_a_generator_is_not_read():
    loader = ((np.zeros((2, 1)), 0) for _ in range(3))
    data_identity(loader)
    assert len(list(loader)) == 3


def test_iterating_before_changes_nothing():
    loader = DataLoader(Squares(), 4, shuffle=True)
    before = data_identity(loader)
    list(loader)
    assert data_identity(loader) == before
