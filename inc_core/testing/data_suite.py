"""What every dataset must do, as pytest tests that its author inherits."""

from __future__ import annotations

import random
from collections.abc import Callable
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


class DataSuite:
    """Proves any dataset. Inherit, give the dataset, and pytest runs every test.

    Attributes:
        batch_size: Samples per batch; 1 if samples differ in shape.
        max_samples: How many samples a test reads at most.
        takes_transform: Whether the dataset has a parameter ``transform``.

    Example::

        class TestSquares(DataSuite):
            @pytest.fixture
            def make_dataset(self):
                return functools.partial(Squares, size=10)
    """

    batch_size = 3
    max_samples = 32
    takes_transform = True

    @pytest.fixture
    def make_dataset(self) -> Callable[..., Any]:
        """Give the dataset's class, or a function that makes one, always the same."""
        raise NotImplementedError("override the fixture `make_dataset`")

    def test_it_can_be_read(self, make_dataset: Callable[..., Any]) -> None:
        """It has ``__getitem__`` or ``__iter__``, and is no iterator that ends for good."""
        check_dataset(make_dataset())

    def test_it_has_samples(self, make_dataset: Callable[..., Any]) -> None:
        """An empty dataset is an error in every run."""
        assert self._texts(make_dataset())

    def test_samples_are_pairs(self, make_dataset: Callable[..., Any]) -> None:
        """``(input, label)``; or an input alone, which then is no tuple or list."""
        for sample in self._samples(make_dataset()):
            assert not isinstance(sample, tuple | list) or len(sample) == 2

    def test_all_samples_have_a_label_or_none_has(self, make_dataset: Callable[..., Any]) -> None:
        """A batch cannot be half labelled."""
        labels = [split_pair(sample)[1] for sample in self._samples(make_dataset())]
        assert len({label is None for label in labels}) <= 1

    def test_it_can_be_read_again(self, make_dataset: Callable[..., Any]) -> None:
        """Each trial reads it, and the same samples come again."""
        dataset = make_dataset()
        assert self._texts(dataset) == self._texts(dataset)

    def test_made_again_it_is_the_same(self, make_dataset: Callable[..., Any]) -> None:
        """A resumed run makes it anew."""
        assert self._texts(make_dataset()) == self._texts(make_dataset())

    def test_its_identity_is_stable(self, make_dataset: Callable[..., Any]) -> None:
        """A run resumes only if its data is recognised."""
        first, second = (data_identity(DataLoader(make_dataset())) for _ in range(2))
        assert first == second
        assert first["samples"] != "different each time"

    def test_two_readers_do_not_disturb_each_other(self, make_dataset: Callable[..., Any]) -> None:
        """A pass that stopped early, or another that goes on, leaves no trace."""
        dataset = make_dataset()
        expected = self._texts(dataset)
        one, other = iterate(dataset), iterate(dataset)
        pairs = islice(zip(one, other, strict=False), self.max_samples)
        read = [(text_of(first), text_of(second)) for first, second in pairs]
        assert read == list(zip(expected, expected, strict=True))

    def test_length_is_the_number_of_samples(self, make_dataset: Callable[..., Any]) -> None:
        """``__len__`` or ``len``, where there is one."""
        dataset = make_dataset()
        length = sample_count(dataset)
        if length is None or length > self.max_samples:
            pytest.skip(f"the length is {length}")
        if hasattr(dataset, "__iter__"):
            assert sum(1 for _ in dataset) == length
        assert len(self._samples(dataset)) == length

    def test_any_sample_can_be_had_by_its_number(self, make_dataset: Callable[..., Any]) -> None:
        """Shuffling and threads read samples in any order."""
        dataset = make_dataset()
        if not is_indexed(dataset):
            pytest.skip("read in order only")
        forwards = self._texts(dataset)
        backwards = [text_of(dataset[index]) for index in reversed(range(len(forwards)))]
        assert backwards[::-1] == forwards

    def test_samples_make_batches(self, make_dataset: Callable[..., Any]) -> None:
        """Samples of one batch are alike in form and shape."""
        loader = DataLoader(make_dataset(), batch_size=self.batch_size)
        count = len(self._samples(make_dataset()))
        assert next(iter_batches(loader)).size == min(self.batch_size, count)

    def test_a_loader_can_be_iterated_again(self, make_dataset: Callable[..., Any]) -> None:
        """The same batches come in the same order."""
        loader = DataLoader(make_dataset(), batch_size=self.batch_size)
        first, second = ([text_of(b) for b in islice(loader, self.max_samples)] for _ in range(2))
        assert first == second

    def test_global_random_state_is_neither_read_nor_changed(
        self, make_dataset: Callable[..., Any]
    ) -> None:
        """A dataset that draws has a generator of its own, seeded by a parameter."""
        random.random()
        np.random.random()
        states = random.getstate(), text_of(np.random.get_state())
        first = self._texts(make_dataset())
        assert (random.getstate(), text_of(np.random.get_state())) == states
        random.random()
        np.random.random()
        assert self._texts(make_dataset()) == first

    def test_transform_is_applied_to_each_sample(self, make_dataset: Callable[..., Any]) -> None:
        """It is called with ``(input, label)``, and what it returns is the sample."""
        if not self.takes_transform:
            pytest.skip("takes no transform: the data loader applies it")
        plain = self._samples(make_dataset())

        def mark(sample: Any) -> Any:
            inputs, label = sample
            return ("transformed", inputs), label

        marked = self._samples(make_dataset(transform=mark))
        assert [text_of(s) for s in marked] == [text_of(mark(split_pair(s))) for s in plain]

    def _samples(self, dataset: Any) -> list[Any]:
        return list(islice(iterate(dataset), self.max_samples))

    def _texts(self, dataset: Any) -> list[str]:
        return [text_of(sample) for sample in self._samples(dataset)]
