"""Transforms of samples and of outputs."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.data.transforms import (
    Cast,
    Compose,
    LabelShift,
    Normalize,
    Rescale,
    ToArray,
    Transpose,
)
from inc_core.errors import DataError


def image(*shape):
    return np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)


@pytest.mark.parametrize(
    "transform",
    [Cast(), Normalize(), Rescale(), Transpose([1, 0]), ToArray(), Compose([Cast(), Rescale()])],
    ids=lambda t: type(t).__name__,
)
class TestAll:
    def test_label_stays(self, transform):
        label = object()
        assert transform((image(2, 3), label))[1] is label

    def test_missing_label_stays_none(self, transform):
        assert transform((image(2, 3), None))[1] is None

    def test_input_is_not_changed_in_place(self, transform):
        given = image(2, 3)
        transform((given, 0))
        assert given.tolist() == image(2, 3).tolist()

    def test_each_input_is_transformed(self, transform):
        single, _ = transform((image(2, 3), 0))
        named, _ = transform(({"a": image(2, 3), "b": image(2, 3)}, 0))
        several, _ = transform(((image(2, 3), image(2, 3)), 0))
        assert [v.tolist() for v in (*named.values(), *several)] == [single.tolist()] * 4


def test_cast_changes_the_dtype():
    assert Cast("int64")((image(2), 0))[0].dtype == np.int64


def test_cast_refuses_unknown_dtypes():
    with pytest.raises(DataError, match="no numpy dtype: 'float33'"):
        Cast("float33")


class TestNormalize:
    def test_one_mean_and_std(self):
        normalized, _ = Normalize(mean=1.0, std=2.0)((np.uint8([1, 5]), 0))
        assert normalized.tolist() == [0, 2]
        assert normalized.dtype == np.float32

    def test_lists_of_one_are_one(self):
        assert Normalize([1.0], [2.0])((np.uint8([1, 5]), 0))[0].tolist() == [0, 2]

    @pytest.mark.parametrize(
        ("shape", "axis", "channel"),
        [((4, 5, 3), None, -1), ((3, 4, 5), None, 0), ((3, 4, 3), None, -1), ((3, 4, 3), 0, 0)],
        ids=["last", "first", "last if both fit", "stated"],
    )
    def test_channel_axis(self, shape, axis, channel):
        normalized, _ = Normalize([0, 10, 20], [1, 1, 2], axis=axis)((np.zeros(shape), 0))
        means = np.moveaxis(normalized, channel, 0).reshape(3, -1).mean(axis=1)
        assert means.tolist() == [0, -10, -10]

    def test_precision_of_floats_stays(self):
        assert Normalize()((np.zeros(2), 0))[0].dtype == np.float64

    def test_channels_that_do_not_fit_are_refused(self):
        with pytest.raises(DataError, match=r"has 3 channels, the input has shape \(4, 5\)"):
            Normalize([1, 2, 3])((np.zeros((4, 5)), 0))

    def test_mean_and_std_must_agree(self):
        with pytest.raises(DataError, match="mean has 3 values, std 2"):
            Normalize([1, 2, 3], [1, 2])

    def test_std_0_is_refused(self):
        with pytest.raises(DataError, match="std, which must not be 0"):
            Normalize(0.0, [1.0, 0.0])


def test_rescale_brings_bytes_to_0_to_1():
    rescaled, _ = Rescale()((np.uint8([0, 255]), 0))
    assert rescaled.tolist() == [0, 1]
    assert rescaled.dtype == np.float32


def test_transpose_puts_channels_first():
    assert Transpose([2, 0, 1])((image(4, 5, 3), 0))[0].shape == (3, 4, 5)


def test_transpose_of_other_rank_is_refused():
    with pytest.raises(DataError, match=r"perm \(1, 0\), but the input has 3 axes: \(2, 2, 2\)"):
        Transpose([1, 0])((image(2, 2, 2), 0))


def test_to_array_takes_lists():
    assert isinstance(ToArray()(([[1, 2], [3, 4]], 0))[0], np.ndarray)


class TestLabelShift:
    def test_it_subtracts_from_labels(self):
        outputs = np.zeros((2, 3))
        shifted = LabelShift(1)((outputs, np.array([1, 2])))
        assert shifted[0] is outputs
        assert shifted[1].tolist() == [0, 1]

    def test_it_takes_single_labels(self):
        assert LabelShift(1)((None, 3))[1] == 2


def test_compose_applies_in_order():
    assert Compose([Normalize(2.0), Rescale(2.0)])((np.float32([6]), 0))[0].tolist() == [2]


def test_compose_names_a_transform_that_gives_no_pair():
    class Careless:
        def __call__(self, sample):
            return sample[0]

    with pytest.raises(DataError, match=r"Careless returned a ndarray; .* returns such a pair"):
        Compose([Careless()])((np.zeros(3), 0))
