"""What the toy adaptor says beyond the contract of every adaptor."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import DataError, QuantizationError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.observers import Observer
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpConfig, OpKey, TensorKey, TensorSpec
from inc_core.testing.toy import ToyModel, ToyNode, make_classifier, make_model
from inc_core.testing.toy.adaptor import ToyAdaptor


def adaptor(approach="static"):
    return ToyAdaptor(AdaptorContext("toy", approach=approach))


@pytest.mark.parametrize(
    ("approach", "modes"),
    [
        ("static", {"static", "fp32"}),
        ("dynamic", {"dynamic", "fp32"}),
        ("auto", {"static", "dynamic", "fp32"}),
        ("weight_only", {"weight_only", "fp32"}),
    ],
)
def test_approach_decides_the_modes(approach, modes):
    capability = adaptor(approach).capabilities(make_classifier())[0]
    assert {config.mode for config in capability.configs} == modes


def test_layers_of_a_model_input_are_first():
    first = [c.op.name for c in adaptor().capabilities(make_model()) if c.first]
    assert first == ["left", "right"]


def test_add_is_float_only_and_says_why():
    capability = next(c for c in adaptor().capabilities(make_model()) if c.op.name == "sum")
    assert [config.mode for config in capability.configs] == ["fp32"]
    assert capability.note == "toy has no integer kernel for Add"


def test_features_that_do_not_divide_into_groups_stay_float():
    arrays = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    model = ToyModel({"x": 3}, (ToyNode("fc", "Linear", ("x",), arrays),), ("fc",))
    capability = adaptor("weight_only").capabilities(model)[0]
    assert capability.note == "inputs are no multiple of 16 features"


def test_int4_weights_are_stored_as_such():
    model = make_classifier()
    built = adaptor("weight_only").quantize(
        model,
        Recipe({c.op: c.configs[0] for c in adaptor("weight_only").capabilities(model)}),
        Calibration.none(),
    )
    for q_weight in adaptor().integer_weights(built).values():
        assert q_weight.dtype == np.int8
        assert q_weight.min() >= -8
        assert q_weight.max() <= 7


def test_quantizing_a_quantized_op_is_an_error():
    config = OpConfig("dynamic", TensorSpec("uint8", "asym"), TensorSpec("int8"))
    recipe = Recipe({OpKey("fc0", "Linear"): config})
    quantized = adaptor("dynamic").quantize(make_classifier(), recipe, Calibration.none())
    with pytest.raises(QuantizationError, match=r"'fc0' \(Linear, dynamic\) cannot run dynamic"):
        adaptor("dynamic").quantize(quantized, recipe, Calibration.none())


def test_unknown_tensor_cannot_be_observed():
    with pytest.raises(QuantizationError, match=r"no tensor TensorKey\(op='absent'"):
        adaptor().observe(make_classifier(), [], {TensorKey("absent"): Observer()})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 16)), r"2 input\(s\) \['a', 'b'\], received 1 array"),
        ({"a": np.zeros((2, 16))}, r"the inputs \['a', 'b'\], received \['a'\]"),
        ((np.zeros((2, 16)), np.zeros((3, 16))), "differ in length: {'a': 2, 'b': 3}"),
        ((np.zeros((2, 9)), np.zeros((2, 16))), r"'a' must have shape \(batch, 16\)"),
        ((np.zeros((2, 16)), np.full((2, 16), "x")), "'b' must be numbers, received dtype <U1"),
    ],
    ids=["too few", "one missing", "lengths", "shape", "dtype"],
)
def test_wrong_inputs_are_named(inputs, message):
    with pytest.raises(DataError, match=message):
        adaptor().predict(make_model(), inputs)
