"""Batches of any loader, in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.common import DataLoader
from inc_core.data.batches import Batch, in_pieces, iter_batches, take
from inc_core.errors import DataError


class Tensor:
    """A framework's tensor: it must be detached and copied to the CPU before ``numpy()`` works."""

    def __init__(self, values, ready=False):
        self._values, self._ready = np.asarray(values), ready
        self.shape = self._values.shape

    def detach(self):
        return Tensor(self._values, ready=True)

    def cpu(self):
        return self

    def numpy(self):
        if not self._ready:
            raise RuntimeError("call detach() first")
        return self._values


class Brain16(Tensor):
    """A tensor of a dtype that numpy lacks."""

    def detach(self):
        return self

    def numpy(self):
        raise TypeError("Got unsupported ScalarType BFloat16")

    def float(self):
        return Tensor(self._values, ready=True)


class AsNumpy:
    def __init__(self, values):
        self._values = np.asarray(values)

    def asnumpy(self):
        return self._values


class ArrayProtocol:
    def __init__(self, values):
        self._values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self._values


@pytest.mark.parametrize(
    "wrap", [np.array, Tensor, Brain16, AsNumpy, ArrayProtocol, list], ids=lambda w: w.__name__
)
def test_tensors_become_arrays(wrap):
    loader = [(wrap([[1.0, 2.0]]), wrap([3]))]
    (batch,) = iter_batches(loader)
    assert isinstance(batch.inputs, np.ndarray)
    assert batch.inputs.tolist() == [[1, 2]]
    assert batch.labels.tolist() == [3]
    assert batch.size == 1


class TestForms:
    def test_a_list_of_two_is_a_pair(self):
        (batch,) = iter_batches([[Tensor(np.zeros((4, 2))), Tensor(np.zeros(4))]])
        assert batch.inputs.shape == (4, 2)
        assert batch.labels.shape == (4,)

    def test_a_mapping_is_inputs_alone(self):
        (batch,) = iter_batches([{"ids": Tensor([[1, 2]]), "mask": [[1, 1]]}])
        assert {name: array.tolist() for name, array in batch.inputs.items()} == {
            "ids": [[1, 2]],
            "mask": [[1, 1]],
        }
        assert batch.labels is None

    def test_an_array_is_inputs_alone(self):
        (batch,) = iter_batches([np.zeros((2, 5))])
        assert batch.inputs.shape == (2, 5)
        assert batch.labels is None

    def test_labels_none_stay_none(self):
        (batch,) = iter_batches([(np.zeros((2, 5)), None)])
        assert batch.labels is None

    def test_label_0_for_a_whole_batch_is_a_label(self):
        (batch,) = iter_batches([(np.zeros((2, 5)), 0)])
        assert batch.labels == 0

    def test_several_inputs_keep_their_order(self):
        (batch,) = iter_batches([((Tensor(np.zeros((3, 1))), np.ones((3, 2))), [0, 1, 2])])
        assert [array.shape for array in batch.inputs] == [(3, 1), (3, 2)]
        assert batch.size == 3

    def test_ragged_labels_stay_lists(self):
        (batch,) = iter_batches([(np.zeros((2, 5)), [[1], [1, 2]])])
        assert batch.labels == [[1], [1, 2]]

    def test_scalar_inputs_without_batch_axis_are_refused(self):
        with pytest.raises(DataError, match="samples in the first dimension"):
            list(iter_batches([(np.float32(1), 0)]))


class TestRereading:
    def test_a_list_can_be_read_again(self):
        loader = [(np.zeros((2, 1)), [0, 1])]
        assert len(list(iter_batches(loader))) == len(list(iter_batches(loader))) == 1

    def test_a_generator_read_twice_is_refused(self):
        loader = ((np.zeros((2, 1)), 0) for _ in range(3))
        assert len(list(iter_batches(loader))) == 3
        with pytest.raises(DataError, match="a generator and was read before"):
            list(iter_batches(loader))

    def test_a_generator_read_in_part_is_refused(self):
        loader = ((np.zeros((2, 1)), 0) for _ in range(3))
        next(iter_batches(loader))
        with pytest.raises(DataError, match="a generator and was read before"):
            list(iter_batches(loader))

    def test_an_iterator_that_is_used_up_is_refused(self):
        loader = iter([(np.zeros((2, 1)), 0)])
        list(iter_batches(loader))
        with pytest.raises(DataError, match="a list_iterator and was read before"):
            list(iter_batches(loader))

    def test_a_shuffled_loader_gives_every_trial_the_same_order(self):
        loader = DataLoader(np.arange(20)[:, None], 20, shuffle=True)
        first = next(iter_batches(loader)).inputs.tolist()
        list(loader)
        assert next(iter_batches(loader)).inputs.tolist() == first
        assert first != sorted(first)


def test_a_dataset_in_place_of_a_loader_is_refused():
    class Dataset:
        def __getitem__(self, index):
            return np.zeros(3), 0

    with pytest.raises(DataError, match=r"looks like a dataset\. Use common\.DataLoader"):
        list(iter_batches(Dataset()))


def test_what_is_no_iterable_is_refused():
    with pytest.raises(DataError, match=r"an iterable of \(inputs, labels\) batches; received int"):
        list(iter_batches(3))


class TestTake:
    def batches(self):
        for start in (0, 4, 8):
            yield Batch({"x": np.arange(start, start + 4)}, np.arange(start, start + 4), 4)

    @pytest.mark.parametrize("samples", [1, 3, 4, 5, 11, 12])
    def test_it_gives_exactly_the_samples_asked_for(self, samples):
        taken = list(take(self.batches(), samples))
        assert np.concatenate([batch.inputs["x"] for batch in taken]).tolist() == list(
            range(samples)
        )
        assert sum(batch.size for batch in taken) == samples
        assert all(len(batch.labels) == batch.size for batch in taken)

    def test_it_gives_all_if_there_are_fewer(self):
        assert sum(batch.size for batch in take(self.batches(), 100)) == 12

    def test_it_reads_no_batch_too_many(self):
        source = self.batches()
        list(take(source, 8))
        assert next(source).labels[0] == 8

    def test_zero_reads_nothing(self):
        assert list(take(self.batches(), 0)) == []

    def test_labels_of_the_whole_batch_stay(self):
        (batch,) = take([Batch(np.zeros((4, 1)), np.asarray(0), 4)], 2)
        assert batch.labels == 0

    def test_labels_per_sample_in_a_list_are_cut(self):
        (batch,) = take([Batch(np.zeros((3, 1)), [{"box": 1}, {"box": 2}, {"box": 3}], 3)], 2)
        assert batch.labels == [{"box": 1}, {"box": 2}]

    def test_no_labels_stay_none(self):
        (batch,) = take([Batch(np.zeros((3, 1)), None, 3)], 2)
        assert batch.labels is None


class TestInPieces:
    def test_samples_and_labels_stay_together_and_nothing_is_lost(self):
        batch = Batch({"x": np.arange(5)}, np.arange(5) * 2, 5)
        pieces = list(in_pieces(batch, 2))
        assert [piece.size for piece in pieces] == [2, 3]
        assert [piece.inputs["x"].tolist() for piece in pieces] == [[0, 1], [2, 3, 4]]
        assert [piece.labels.tolist() for piece in pieces] == [[0, 2], [4, 6, 8]]

    def test_labels_that_are_objects_are_cut_as_lists(self):
        batch = Batch(np.arange(2), [{"boxes": 1}, {"boxes": 2}], 2)
        assert [piece.labels for piece in in_pieces(batch, 2)] == [[{"boxes": 1}], [{"boxes": 2}]]

    def test_a_single_sample_is_not_cut(self):
        assert len(list(in_pieces(Batch(np.ones((1, 2)), None, 1), 2))) == 1
