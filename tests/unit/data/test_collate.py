"""Stacking samples leaf by leaf."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.data.collate import default_collate
from inc_core.errors import DataError


class Tensor:
    """What a framework's tensor looks like from outside."""

    def __init__(self, values):
        self._values = np.asarray(values)

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self._values


@pytest.mark.parametrize(
    ("sample", "shape"),
    [
        (np.zeros((3, 4)), (2, 3, 4)),
        (Tensor([1, 2]), (2, 2)),
        ([1.0, 2.0, 3.0], (2, 3)),
        ([[1, 2], [3, 4]], (2, 2, 2)),
        (5, (2,)),
        (np.float32(1), (2,)),
    ],
    ids=["array", "tensor", "list of numbers", "list of lists", "number", "numpy number"],
)
def test_inputs_become_one_array(sample, shape):
    inputs, labels = default_collate([(sample, 0), (sample, 1)])
    assert isinstance(inputs, np.ndarray)
    assert inputs.shape == shape
    assert labels.tolist() == [0, 1]


def test_mappings_keep_keys_and_their_order():
    samples = [{"z": np.zeros(2), "a": 1}, {"a": 2, "z": np.ones(2)}]
    inputs, _ = default_collate(samples)
    assert list(inputs) == ["z", "a"]
    assert inputs["z"].tolist() == [[0, 0], [1, 1]]
    assert inputs["a"].tolist() == [1, 2]


def test_nests_are_stacked_at_every_depth():
    sample = {"image": np.zeros((2, 2)), "more": (np.zeros(3), [np.zeros(1), 4])}
    inputs, labels = default_collate([(sample, (1, "cat"))] * 5)
    assert inputs["more"][0].shape == (5, 3)
    assert inputs["more"][1][0].shape == (5, 1)
    assert labels[0].tolist() == [1] * 5
    assert labels[1].tolist() == ["cat"] * 5


def test_objects_are_put_in_a_list():
    class Box:
        pass

    boxes = [Box(), Box()]
    assert default_collate([(1, box) for box in boxes])[1] == boxes


def test_dtype_of_arrays_stays():
    assert default_collate([(np.uint8([1]), 0)])[0].dtype == np.uint8


def test_different_shapes_name_the_sample_and_the_remedy():
    samples = [(np.zeros((3, 5)), 0), (np.zeros((3, 5)), 0), (np.zeros((3, 4)), 0)]
    message = (
        r"the input of sample 12 has \(3, 4\), that of sample 10 has \(3, 5\). "
        r"Use batch_size=1, a transform .*Resize.*, or a collate_fn"
    )
    with pytest.raises(DataError, match=message):
        default_collate(samples, numbers=[10, 11, 12])


def test_the_input_that_differs_is_named():
    with pytest.raises(DataError, match=r"the input\['ids'\] of sample 1 has \(2,\)"):
        default_collate([{"ids": np.zeros(3)}, {"ids": np.zeros(2)}])


def test_different_labels_are_named():
    with pytest.raises(DataError, match="the label of sample 1 has"):
        default_collate([(0, [1, 2]), (0, [1])])


def test_different_forms_are_named():
    with pytest.raises(DataError, match="input of sample 1 is a collection with"):
        default_collate([({"a": 1}, 0), ({"b": 1}, 0)])


@pytest.mark.parametrize("kind", [int, np.int64, np.float32, np.bool_])
def test_labels_keep_the_type_that_they_have(kind):
    _, labels = default_collate([(np.zeros(2), kind(1)), (np.ones(2), kind(0))])
    assert labels.dtype == np.asarray(kind(1)).dtype
    assert labels.tolist() == [1, 0]


def test_labels_of_several_types_are_one_array():
    _, labels = default_collate([(np.zeros(2), 1), (np.ones(2), np.float64(0.5))])
    assert labels.tolist() == [1.0, 0.5]
