"""``DataLoader``: every kind of dataset, order, last batches, threads, refusals."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from inc_core.common import DataLoader
from inc_core.errors import DataError


class Indexed:
    """Samples ``(index, index % 3)`` by index."""

    def __init__(self, size=7):
        self.size = size

    def __getitem__(self, index):
        if index >= self.size:
            raise IndexError(index)
        return np.float32([index]), index % 3


class WithLength(Indexed):
    def __len__(self):
        return self.size


class OfTheSeed(Indexed):
    """The seed's sample: ``len`` in place of ``__len__``."""

    def len(self):
        return self.size


class LengthInName(Indexed):
    def len(self):
        """Left as the seed prints it."""


class Stream:
    def __init__(self, size=7):
        self.size = size

    def __iter__(self):
        return (Indexed(self.size)[index] for index in range(self.size))


KINDS = {
    "indexed with __len__": WithLength,
    "indexed with len": OfTheSeed,
    "indexed until IndexError": Indexed,
    "indexed with a len that says nothing": LengthInName,
    "iterable": Stream,
    "list": lambda size=7: [Indexed(size)[index] for index in range(size)],
}


def firsts(loader):
    return [inputs[:, 0].astype(int).tolist() for inputs, _ in loader]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("workers", [0, 2])
def test_every_kind_of_dataset_gives_the_same_batches(make, workers):
    loader = DataLoader(make(), batch_size=3, num_workers=workers)
    for _ in range(2):
        batches = list(loader)
        assert [inputs[:, 0].tolist() for inputs, _ in batches] == [[0, 1, 2], [3, 4, 5], [6]]
        assert [labels.tolist() for _, labels in batches] == [[0, 1, 2], [0, 1, 2], [0]]


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_discard_drops_the_short_last_batch(make):
    assert firsts(DataLoader(make(), 3, last_batch="discard")) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("last_batch", "size", "batches"), [("rollover", 7, 3), ("discard", 7, 2), ("discard", 6, 2)]
)
def test_length_is_the_number_of_batches(last_batch, size, batches):
    assert len(DataLoader(OfTheSeed(size), 3, last_batch=last_batch)) == batches


def test_length_of_a_stream_is_a_type_error():
    with pytest.raises(TypeError, match="Stream of this DataLoader has no length"):
        len(DataLoader(Stream()))


class TestLabels:
    def test_label_0_gives_zeros(self):
        _, labels = next(iter(DataLoader([(np.zeros(2), 0), (np.ones(2), 0)], 2)))
        assert labels.tolist() == [0, 0]

    def test_inputs_alone_give_no_labels(self):
        inputs, labels = next(iter(DataLoader(np.zeros((4, 2)), 2)))
        assert inputs.shape == (2, 2)
        assert labels is None

    def test_label_none_gives_no_labels(self):
        assert next(iter(DataLoader([(1.0, None)])))[1] is None

    def test_some_without_label_are_an_error(self):
        with pytest.raises(DataError, match="sample 1 has no label"):
            list(DataLoader([(1.0, 0), (1.0, None)], 2))

    def test_a_tuple_of_three_is_an_input(self):
        inputs, labels = next(iter(DataLoader([(1.0, 2.0, 3.0)] * 4, 4)))
        assert [array.shape for array in inputs] == [(4,)] * 3
        assert labels is None


class TestOrder:
    def test_shuffle_draws_another_order_each_time(self):
        loader = DataLoader(WithLength(50), 50, shuffle=True)
        first, second = firsts(loader), firsts(loader)
        assert first != second
        assert sorted(first[0]) == sorted(second[0]) == list(range(50))

    def test_shuffle_is_the_same_in_each_program(self):
        one, other = (DataLoader(WithLength(50), 8, shuffle=True) for _ in range(2))
        assert [firsts(one), firsts(one)] == [firsts(other), firsts(other)]

    def test_seed_changes_the_order(self):
        one, other = (DataLoader(WithLength(50), 8, shuffle=True, seed=seed) for seed in (1, 2))
        assert firsts(one) != firsts(other)

    def test_shuffle_leaves_the_global_random_state(self):
        before = np.random.get_state()[1].tolist()
        list(DataLoader(WithLength(), 2, shuffle=True))
        assert np.random.get_state()[1].tolist() == before

    def test_sampler_gives_the_order(self):
        loader = DataLoader(WithLength(), 2, sampler=[6, 0, 3])
        assert firsts(loader) == firsts(loader) == [[6, 0], [3]]
        assert len(loader) == 2

    def test_sampler_works_without_a_length(self):
        assert firsts(DataLoader(Indexed(), 2, sampler=[6, 0, 3])) == [[6, 0], [3]]

    def test_batch_sampler_gives_the_batches(self):
        loader = DataLoader(WithLength(), batch_sampler=[[6], [0, 1, 2]])
        assert firsts(loader) == [[6], [0, 1, 2]]
        assert len(loader) == 2

    @pytest.mark.parametrize(
        ("keywords", "message"),
        [
            ({"shuffle": True, "sampler": [0]}, "sampler and shuffle exclude each other"),
            ({"batch_sampler": [[0]], "sampler": [0]}, "sampler and batch_sampler exclude"),
            ({"sampler": iter([0])}, "the sampler is a list_iterator: usable once"),
        ],
    )
    def test_contradictions_are_refused(self, keywords, message):
        with pytest.raises(DataError, match=message):
            DataLoader(WithLength(), **keywords)

    def test_shuffle_of_a_stream_is_refused(self):
        with pytest.raises(DataError, match="shuffle=True needs a dataset with __getitem__ and"):
            DataLoader(Stream(), shuffle=True)

    def test_sampler_of_a_stream_is_refused(self):
        with pytest.raises(DataError, match="sampler needs a dataset with __getitem__"):
            DataLoader(Stream(), sampler=[0])


class TestCollate:
    def test_collate_fn_gets_the_samples_as_they_are(self):
        def pad(samples):
            width = max(len(values) for values, _ in samples)
            inputs = np.array([values + [0] * (width - len(values)) for values, _ in samples])
            return inputs, [label for _, label in samples]

        loader = DataLoader([([1], "a"), ([1, 2], "b")], 2, collate_fn=pad)
        ((inputs, labels),) = loader
        assert inputs.tolist() == [[1, 0], [1, 2]]
        assert labels == ["a", "b"]

    def test_collate_fn_may_give_inputs_alone(self):
        ((inputs, labels),) = DataLoader([1, 2], 2, collate_fn=lambda samples: {"x": samples})
        assert inputs == {"x": [1, 2]}
        assert labels is None


class TestThreads:
    def test_order_stays_if_early_samples_are_slow(self):
        class Slow(WithLength):
            def __getitem__(self, index):
                time.sleep(0.02 if index < 2 else 0)
                return super().__getitem__(index)

        assert firsts(DataLoader(Slow(), 2, num_workers=3)) == [[0, 1], [2, 3], [4, 5], [6]]

    def test_an_error_of_the_dataset_comes_out(self):
        class Broken(WithLength):
            def __getitem__(self, index):
                raise OSError(f"cannot read {index}")

        with pytest.raises(OSError, match="cannot read 0"):
            list(DataLoader(Broken(), num_workers=2))

    def test_threads_end_when_reading_stops_early(self):
        batches = iter(DataLoader(WithLength(100), num_workers=2))
        next(batches)
        batches.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("inc-data")]


class TestRefusals:
    def test_a_generator_as_dataset_is_refused(self):
        with pytest.raises(DataError, match="a generator, which can be read only once"):
            DataLoader(index for index in range(3))

    @pytest.mark.parametrize("dataset", [3, {"x": 1}, "files", WithLength], ids=str)
    def test_what_is_no_dataset_is_refused(self, dataset):
        with pytest.raises(DataError, match="a dataset needs __getitem__"):
            DataLoader(dataset)

    @pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
    def test_an_empty_dataset_is_an_error(self, make):
        with pytest.raises(DataError, match="gives no sample"):
            list(DataLoader(make(0)))

    def test_discarding_everything_is_an_error(self):
        with pytest.raises(DataError, match="leaves no batch: WithLength has 7 samples"):
            list(DataLoader(WithLength(), 8, last_batch="discard"))

    @pytest.mark.parametrize("batch_size", [0, -1, None, 2.5])
    def test_batch_size_must_be_positive(self, batch_size):
        with pytest.raises(DataError, match="batch_size must be a whole number above 0"):
            DataLoader(WithLength(), batch_size)

    def test_unknown_last_batch_is_refused(self):
        with pytest.raises(DataError, match=r"'rollover' .* or 'discard'; received 'keep'"):
            DataLoader(WithLength(), last_batch="keep")

    def test_distributed_is_said_to_have_no_effect(self, caplog):
        assert firsts(DataLoader(WithLength(2), 2, distributed=True)) == [[0, 1]]
        assert "distributed=True has no effect" in caplog.text


class TestRebatch:
    def test_rebatch_keeps_the_samples(self):
        loader = DataLoader(WithLength(), 3)
        assert firsts(loader.rebatch(5)) == [[0, 1, 2, 3, 4], [5, 6]]
        assert loader.batch_size == 3

    def test_rebatch_of_a_batch_sampler_is_refused(self):
        with pytest.raises(DataError, match="come from its batch_sampler"):
            DataLoader(WithLength(), batch_sampler=[[0]]).rebatch(2)
