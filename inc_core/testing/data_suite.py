"""What every dataset must do, as pytest tests that its author inherits."""

from __future__ import annotations

import abc
import random
from itertools import islice
from typing import Any

import numpy as np
import pytest

from inc_core.data.access import check_dataset, is_indexed, iterate, sample_count
from inc_core.data.batches import iter_batches
from inc_core.data.dataloader import DataLoader
from inc_core.data.identity import data_identity
from inc_core.data.pairs import split_pair
from inc_core.data.source import text_of

__all__ = ["DataSuite"]


class DataSuite(abc.ABC):
    """Inherit, give the dataset, and pytest runs every test.

    Attributes:
        batch_size: Samples per batch; 1 if samples differ in shape.
        max_samples: How many samples a test reads at most.

    Example::

        class TestSquares(DataSuite):
            def make_dataset(self, **keywords):
                return Squares(10, **keywords)
    """

    batch_size = 3
    max_samples = 32

    @abc.abstractmethod
    def make_dataset(self, **keywords: Any) -> Any:
        """Return a new dataset, always the same one.

        Args:
            keywords: ``transform``, where the dataset takes it; the test of transforms is skipped
                if that is a ``TypeError``.
        """

    def test_it_can_be_read(self) -> None:
        """It has ``__getitem__`` or ``__iter__``, and is no iterator that ends for good."""
        check_dataset(self.make_dataset())

    def test_it_has_a_sample(self) -> None:
        """An empty dataset is an error in every run."""
        assert self._texts(self.make_dataset())

    def test_it_can_be_read_again(self) -> None:
        """Each trial reads it afresh, and the same samples come again."""
        dataset = self.make_dataset()
        assert self._texts(dataset) == self._texts(dataset)

    def test_two_of_the_same_parameters_are_equal(self) -> None:
        """A resumed run builds the dataset anew."""
        assert self._texts(self.make_dataset()) == self._texts(self.make_dataset())

    def test_a_pass_that_stops_early_leaves_no_trace(self) -> None:
        """Calibration reads some samples only."""
        dataset = self.make_dataset()
        first = self._texts(dataset)[0]
        for _ in range(2):
            assert text_of(next(iter(iterate(dataset)))) == first

    def test_the_length_is_the_number_of_samples(self) -> None:
        """``__len__`` or ``len``, where there is one."""
        dataset = self.make_dataset()
        length = sample_count(dataset)
        if length is None or length > self.max_samples:
            pytest.skip(f"length is {length}")
        if hasattr(dataset, "__iter__"):
            assert sum(1 for _ in dataset) == length
        with pytest.raises(IndexError):
            dataset[length]

    def test_samples_by_index_do_not_depend_on_order(self) -> None:
        """Shuffling and threads read them in any order."""
        dataset = self.make_dataset()
        if not is_indexed(dataset):
            pytest.skip("no index")
        forwards = self._texts(dataset)
        backwards = [text_of(dataset[index]) for index in reversed(range(len(forwards)))]
        assert backwards[::-1] == forwards

    def test_all_samples_have_a_label_or_none_has(self) -> None:
        """A batch cannot be half labelled."""
        labels = [split_pair(sample)[1] for sample in self._samples(self.make_dataset())]
        assert len({label is None for label in labels}) == 1

    def test_samples_make_batches(self) -> None:
        """Samples of one batch are alike in form and shape."""
        loader = DataLoader(self.make_dataset(), batch_size=self.batch_size)
        count = len(self._samples(self.make_dataset()))
        expected = min(self.batch_size, count)
        assert next(iter_batches(loader)).size == expected

    def test_global_random_state_is_neither_read_nor_changed(self) -> None:
        """A dataset that draws has a generator of its own, seeded by a parameter."""
        states = random.getstate(), text_of(np.random.get_state())
        first = self._texts(self.make_dataset())
        assert (random.getstate(), text_of(np.random.get_state())) == states
        random.random()
        np.random.random()
        assert self._texts(self.make_dataset()) == first

    def test_its_identity_is_stable(self) -> None:
        """A run resumes only if its data is recognised."""
        first, second = (
            data_identity(DataLoader(self.make_dataset(), batch_size=self.batch_size))
            for _ in range(2)
        )
        assert first == second
        assert first["samples"] != "different each time"

    def test_a_transform_is_called_with_the_pair(self) -> None:
        """It gets ``(input, label)``, and what it returns is the sample."""
        received: list[Any] = []

        def transform(sample: Any) -> Any:
            received.append(sample)
            return "transformed input", "transformed label"

        try:
            dataset = self.make_dataset(transform=transform)
        except TypeError:
            pytest.skip("takes no transform: the data loader applies it")
        sample = next(iter(iterate(dataset)))
        assert tuple(sample) == ("transformed input", "transformed label")
        assert isinstance(received[0], tuple | list)
        assert len(received[0]) == 2

    def _samples(self, dataset: Any) -> list[Any]:
        return list(islice(iterate(dataset), self.max_samples))

    def _texts(self, dataset: Any) -> list[str]:
        return [text_of(sample) for sample in self._samples(dataset)]
