"""What predictions and labels may be."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import EvaluationError
from inc_metrics.shapes import read_labels, read_predictions, squeeze_trailing

ARRAY = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    "predictions",
    [ARRAY, (ARRAY,), [ARRAY], ARRAY.tolist(), ARRAY.astype(np.float32)],
    ids=["array", "tuple of one", "list of one", "nested lists", "float32"],
)
def test_one_output_is_read(predictions):
    np.testing.assert_array_equal(read_predictions(predictions), ARRAY)


def test_several_outputs_ask_for_a_postprocess():
    with pytest.raises(
        EvaluationError, match=r"2 outputs \(shapes \(2, 3\), \(3,\)\).*postprocess"
    ):
        read_predictions((ARRAY, ARRAY[0]))


def test_nan_is_counted():
    with pytest.raises(EvaluationError, match="2 of 3 predictions are NaN"):
        read_predictions([1.0, np.nan, np.nan])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (3, [3]),
        (np.int64(3), [3]),
        ([1, 2], [1, 2]),
        ([np.int64(3)], [3]),
        ((np.array([1, 2]),), [1, 2]),
        ([np.array([0, 1]), np.array([1, 0])], [[0, 1], [1, 0]]),
    ],
    ids=["number", "numpy number", "list", "list of one", "tuple of one array", "list of rows"],
)
def test_labels_are_read(labels, expected):
    np.testing.assert_array_equal(read_labels(labels), expected)


def test_text_is_refused():
    with pytest.raises(EvaluationError, match=r"labels of dtype <U3 are no numbers"):
        read_labels(["cat", "dog"])


def test_ragged_labels_are_refused():
    with pytest.raises(EvaluationError, match="labels of type list cannot be read as an array"):
        read_labels([[1], [2, 3]])


@pytest.mark.parametrize(
    ("shape", "squeezed"),
    [((4, 3, 1, 1), (4, 3)), ((4, 1), (4,)), ((1, 1), (1,)), ((1, 3), (1, 3)), ((4, 1, 3),) * 2],
)
def test_only_trailing_axes_are_dropped_and_never_the_batch(shape, squeezed):
    assert squeeze_trailing(np.zeros(shape)).shape == squeezed
