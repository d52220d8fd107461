"""The core's own datasets."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from inc_core.common import DataLoader
from inc_core.data.datasets import Dummy, Npz
from inc_core.errors import DataError
from inc_core.testing.data_suite import DataSuite


class TestDummySuite(DataSuite):
    takes_transform = False

    @pytest.fixture(params=["shape", "input_shape"])
    def make_dataset(self, request):
        if request.param == "shape":
            return functools.partial(Dummy, shape=(10, 3, 4))
        return functools.partial(Dummy, input_shape=(3, 4), label_shape=(2,), samples=10)


class TestNpzSuite(DataSuite):
    takes_transform = False

    @pytest.fixture
    def make_dataset(self, arrays):
        return functools.partial(Npz, arrays)


@pytest.fixture
def arrays(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.arange(12).reshape(6, 2), y=np.arange(6), mask=np.ones((6, 3)), odd=[1, 2])
    return path


class TestDummy:
    def test_shape_counts_samples_first(self):
        data = Dummy((5, 3, 2))
        assert len(data) == 5
        assert data[4][0].shape == (3, 2)
        assert data[4][0].dtype == np.float32

    def test_label_is_0(self):
        assert Dummy((5, 3))[0][1] == 0

    def test_without_label_there_is_none(self):
        _, labels = next(iter(DataLoader(Dummy((5, 3), label=False), 2)))
        assert labels is None

    def test_several_shapes_are_several_inputs(self):
        data = Dummy([(5, 3), (5, 4)], low=[0, 10], high=[1, 20], dtype=["float32", "int64"])
        (floats, integers), _ = next(iter(DataLoader(data, 5)))
        assert floats.shape == (5, 3)
        assert 0 <= floats.min() <= floats.max() <= 1
        assert integers.dtype == np.int64
        assert 10 <= integers.min() <= integers.max() < 20

    def test_input_shape_is_that_of_one_sample(self):
        data = Dummy(input_shape=(3, 2), samples=4)
        assert len(data) == 4
        assert data[3][0].shape == (3, 2)

    def test_label_shape_gives_labels_of_that_shape(self):
        data = Dummy(input_shape=(3,), label_shape=(2, 2), low=[0, 5], high=[1, 6])
        label = data[0][1]
        assert label.shape == (2, 2)
        assert 5 <= label.min() <= label.max() <= 6

    def test_seed_decides_the_values(self):
        one, same, other = (Dummy((2, 50), seed=seed)[0][0] for seed in (1, 1, 2))
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)

    def test_values_spread_over_the_range(self):
        values = Dummy((1, 10_000), low=-2.0, high=6.0)[0][0]
        assert abs(values.mean() - 2) < 0.1
        assert values.min() < -1.9
        assert values.max() > 5.9

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({}, "either shape.* or input_shape"),
            ({"shape": (1, 2), "input_shape": (2,)}, "either shape.* or input_shape"),
            ({"shape": [(5, 3), (4, 3)]}, "do not agree on a number of samples"),
            ({"shape": (0, 3)}, "number of samples above 0"),
            ({"shape": (5, 3), "low": [1, 2]}, r"low has 2 values for 1 arrays: \[1, 2\]"),
        ],
    )
    def test_parameters_that_do_not_fit_are_refused(self, parameters, message):
        with pytest.raises(DataError, match=message):
            Dummy(**parameters)


class TestNpz:
    def test_defaults_are_x_and_y(self, arrays):
        inputs, label = Npz(arrays)[2]
        assert inputs.tolist() == [4, 5]
        assert label == 2

    def test_several_inputs_by_position(self, arrays):
        inputs, _ = Npz(arrays, inputs=["x", "mask"])[0]
        assert [array.shape for array in inputs] == [(2,), (3,)]

    def test_several_inputs_by_name(self, arrays):
        inputs, _ = Npz(arrays, inputs={"ids": "x", "attention": "mask"})[0]
        assert {name: array.shape for name, array in inputs.items()} == {
            "ids": (2,),
            "attention": (3,),
        }

    def test_labels_may_be_left_out(self, arrays):
        assert Npz(arrays, labels=None)[0][1] is None

    def test_unknown_array_names_the_closest(self, arrays):
        with pytest.raises(
            DataError, match=r"no array 'masks'. Did you mean 'mask'\? It holds x, y"
        ):
            Npz(arrays, inputs="masks")

    def test_different_lengths_are_refused(self, arrays):
        with pytest.raises(
            DataError, match=r"differ in their first dimension: \[\(6, 2\), \(2,\)\]"
        ):
            Npz(arrays, labels="odd")

    def test_missing_file_says_from_where(self, tmp_path):
        with pytest.raises(DataError, match=r"no such file: .*none\.npz' \(looked for from"):
            Npz(tmp_path / "none.npz")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"text"])
    def test_other_files_are_refused(self, tmp_path, content):
        path = tmp_path / "bad.npz"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npz' is no \.npz file"):
            Npz(path)

    def test_a_truncated_file_is_refused(self, arrays):
        arrays.write_bytes(arrays.read_bytes()[:-30])
        with pytest.raises(DataError, match=r"is no \.npz file"):
            Npz(arrays)

    def test_a_single_array_is_refused(self, tmp_path):
        np.save(tmp_path / "one.npy", np.zeros(3))
        with pytest.raises(DataError, match=r"holds a single array; save with numpy\.savez"):
            Npz(tmp_path / "one.npy")

    def test_objects_are_refused(self, tmp_path):
        np.savez(tmp_path / "objects.npz", x=np.array([{}, {}]), y=[0, 1])
        with pytest.raises(DataError, match=r"the array 'x' cannot be read: .*allow_pickle"):
            Npz(tmp_path / "objects.npz")
