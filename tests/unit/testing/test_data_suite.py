"""``DataSuite`` passes good datasets of each kind, and notices each kind of bad one."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from inc_core.testing.data_suite import DataSuite

SUITE = DataSuite()


class Squares:
    """Read by number."""

    def __init__(self, size=10, transform=None):
        self.size, self.transform = size, transform

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        sample = (np.full((2, 2), index, np.float32), index**2)
        return self.transform(sample) if self.transform else sample


class Stream:
    """Read in order, with inputs by name and no labels."""

    def __iter__(self):
        for index in range(7):
            yield {"a": np.float32(index), "b": np.arange(3)}, None


class TestIndexed(DataSuite):
    @pytest.fixture
    def make_dataset(self):
        return Squares


class TestStream(DataSuite):
    takes_transform = False

    @pytest.fixture
    def make_dataset(self):
        return Stream


class TestOldSpelling(DataSuite):
    """With ``len`` in place of ``__len__``, as the original tool's samples have it."""

    @pytest.fixture
    def make_dataset(self):
        class Old:
            def __init__(self, transform=None):
                self.squares = Squares(4, transform)

            def __getitem__(self, index):
                return self.squares[index]

            def len(self):
                return 4

        return Old


class Triples(Squares):
    def __getitem__(self, index):
        return (*super().__getitem__(index), "and more")


class GlobalRandom(Squares):
    def __getitem__(self, index):
        return np.random.random(3), index


class Seeding(Squares):
    def __init__(self, size=10, transform=None):
        super().__init__(size, transform)
        np.random.seed(0)


class Wandering(Squares):
    """Another sample each time that one is asked for."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return np.float32(self.reads), 0


class Boasting(Squares):
    def __len__(self):
        return self.size + 1

    def __iter__(self):
        return iter([self[index] for index in range(self.size)])


class OneCursor:
    """Every iterator moves the same position."""

    position = 0

    def __iter__(self):
        self.position = 0
        return self._rest()

    def _rest(self):
        while self.position < 6:
            self.position += 1
            yield np.float32(self.position), self.position


class Deaf(Squares):
    def __getitem__(self, index):
        return np.float32(index), index


@pytest.mark.parametrize(
    ("make_dataset", "check"),
    [
        (partial(Squares, 0), "it_has_samples"),
        (Triples, "samples_are_pairs"),
        (GlobalRandom, "it_can_be_read_again"),
        (GlobalRandom, "made_again_it_is_the_same"),
        (GlobalRandom, "global_random_state_is_neither_read_nor_changed"),
        (Seeding, "global_random_state_is_neither_read_nor_changed"),
        (Wandering, "it_can_be_read_again"),
        (Wandering, "any_sample_can_be_had_by_its_number"),
        (Wandering, "a_loader_can_be_iterated_again"),
        (Boasting, "length_is_the_number_of_samples"),
        (OneCursor, "two_readers_do_not_disturb_each_other"),
        (Deaf, "transform_is_applied_to_each_sample"),
    ],
)
def test_bad_dataset_is_noticed(make_dataset, check):
    state = np.random.get_state()
    try:
        with pytest.raises(AssertionError):
            getattr(SUITE, f"test_{check}")(make_dataset)
    finally:
        np.random.set_state(state)
