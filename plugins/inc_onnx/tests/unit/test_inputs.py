"""Wrong inputs get an error that says what the model takes."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import DataError
from inc_onnx.inputs import InputInfo, feed

IMAGE = InputInfo("image", "float", ("batch", 3, 8, 8))
LENGTH = InputInfo("length", "int64", ("batch",))
images = np.zeros((2, 3, 8, 8), np.float32)


def test_float64_and_narrow_integers_are_cast():
    fed = feed([IMAGE, LENGTH], {"image": images.astype(np.float64), "length": np.int32([1, 2])})
    assert fed["image"].dtype == np.float32 and fed["length"].dtype == np.int64


def test_uint8_images_become_floats():
    assert feed([IMAGE], images.astype(np.uint8))["image"].dtype == np.float32


def test_tuple_follows_the_order_that_the_user_named():
    fed = feed([IMAGE, LENGTH], (np.int64([1, 2]), images), order=("length", "image"))
    assert fed["image"].shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"imgae": images, "length": [1, 2]}, "no input 'imgae'. Did you mean 'image'"),
        ({"image": images}, "'length' is missing"),
        ((images,), "has 1 arrays, the model 2 inputs"),
        (images, "is one array, the model has 2"),
        ({"image": images[:, :2], "length": [1, 2]}, r"shape \[2, 2, 8, 8\], which does not fit"),
        ({"image": images, "length": [1.5, 2.0]}, "'length' has dtype float64"),
        ({"image": images.astype(str), "length": [1, 2]}, "'image' has dtype <U32"),
        ({"image": images, "length": [[1], [2, 3]]}, "'length' is no array"),
    ],
    ids=["name", "missing", "too-few", "one", "shape", "float", "text", "ragged"],
)
def test_what_does_not_fit_is_named_with_what_the_model_takes(given, message):
    with pytest.raises(DataError, match=message) as error:
        feed([IMAGE, LENGTH], given)
    assert "The model takes image: float[batch, 3, 8, 8]; length: int64[batch]" in str(error.value)


def test_integers_that_overflow_are_an_error():
    narrow = InputInfo("n", "int32", ("batch",))
    with pytest.raises(DataError, match="do not fit into int32"):
        feed([narrow], np.array([1 << 40]))


def test_unknown_input_name_in_the_configuration_is_an_error(workbench, residual_model):
    with pytest.raises(DataError, match=r"has no input 'y'.*It has: x"):
        workbench(inputs=("y",)).load(residual_model)


def test_named_outputs_are_the_only_ones(workbench, net):
    build = net()
    x = build.input("x", ["batch", 4])
    build.output(build.op("Relu", x, outputs=["first"]), ["batch", 4])
    build.output(build.op("Neg", x, outputs=["second"]), ["batch", 4])
    bench = workbench(outputs=("second",)).load(build.proto())
    assert bench.adaptor.predict(bench.model, np.ones((1, 4))).max() == -1
