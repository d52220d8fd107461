from __future__ import annotations

import json

import pytest

from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32, OpConfig, OpKey, TensorSpec

A, B = OpKey("a", "Conv"), OpKey("b", "Add")
STATIC = OpConfig("static", TensorSpec("uint8", "asym"), TensorSpec("int8", "sym"))
RECIPE = Recipe({A: STATIC, B: FP32}, calib_samples=50, options=("z", "bias_correction"))


def test_a_recipe_survives_json_with_its_fingerprint():
    read = Recipe.from_json(json.loads(json.dumps(RECIPE.to_json())))
    assert read == RECIPE
    assert read.fingerprint == RECIPE.fingerprint
    assert list(read.ops) == [A, B]


def test_the_fingerprint_tells_choices_apart_but_not_the_order_of_options():
    others = [
        RECIPE.with_op(B, STATIC),
        Recipe(RECIPE.ops, 51, RECIPE.options),
        Recipe(RECIPE.ops, 50, ("z",)),
    ]
    assert RECIPE.fingerprint not in {other.fingerprint for other in others}
    same = Recipe(RECIPE.ops, 50, ("bias_correction", "z"))
    assert same.fingerprint == RECIPE.fingerprint
    assert hash(same) == hash(RECIPE)


def test_replacing_an_op_leaves_the_recipe_alone():
    changed = RECIPE.with_ops({A: FP32})
    assert (changed.ops[A], RECIPE.ops[A]) == (FP32, STATIC)
    assert (changed.quantized_ops, RECIPE.quantized_ops) == ((), (A,))


def test_an_unknown_op_is_named():
    with pytest.raises(KeyError, match="no such op in this recipe: 'c'"):
        RECIPE.with_op(OpKey("c", "Conv"), FP32)


def test_ops_are_counted_by_precision():
    assert RECIPE.precisions() == {"int8": 1, "fp32": 1}
