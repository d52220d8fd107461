from __future__ import annotations

from itertools import islice, pairwise

import pytest

from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec
from inc_core.strategies.enumeration import RecipeNumbers, scattered, shuffled
from inc_core.testing.strategy_suite import sample_space
from inc_core.tuning.membership import outside_of

BF16 = OpConfig("bf16")
KEY = bytes(range(16))


def large_space(ops=400) -> TuningSpace:
    static = OpConfig("static", TensorSpec("uint8", "asym"), TensorSpec("int8"))
    return TuningSpace(
        tuple(OpCapability(OpKey(f"op{k}", "Conv"), (static, FP32)) for k in range(ops))
    )


def test_every_number_is_another_recipe_of_the_space():
    space = sample_space(4)
    numbers = RecipeNumbers(space)
    recipes = [numbers.recipe(k) for k in range(numbers.size)]
    assert len({recipe.fingerprint for recipe in recipes}) == numbers.size
    assert all(outside_of(space, recipe) == "" for recipe in recipes)
    assert recipes[0] == space.default()
    assert space.all_float() in recipes


def test_the_size_counts_groups_as_one_choice():
    # op0 and op3: 4 configs; op1 with op2: 3 quantized pairs and float; 2 sizes, 2 option sets
    assert RecipeNumbers(sample_space(4)).size == 4 * 4 * 4 * 2 * 2


def test_float_only_ops_with_two_precisions_are_a_choice_too():
    space = TuningSpace((OpCapability(OpKey("softmax", "Softmax"), (BF16, FP32)),))
    numbers = RecipeNumbers(space)
    chosen = {numbers.recipe(k).ops[OpKey("softmax", "Softmax")] for k in range(numbers.size)}
    assert chosen == {BF16, FP32}


def test_a_huge_space_is_never_listed():
    numbers = RecipeNumbers(large_space())
    assert numbers.size == 2**400
    for order in (shuffled(numbers.size, KEY), scattered(numbers.size)):
        drawn = [numbers.recipe(k) for k in islice(order, 50)]
        assert len({recipe.fingerprint for recipe in drawn}) == 50
    assert numbers.recipe(numbers.size - 1) == large_space().all_float()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 65, 1000])
def test_an_order_holds_every_number_once(size):
    assert sorted(shuffled(size, KEY)) == list(range(size))
    assert sorted(scattered(size)) == list(range(size))


def test_shuffled_orders_differ_by_key_and_look_random():
    size = 4096
    order = list(shuffled(size, KEY))
    assert order != list(shuffled(size, KEY[::-1]))
    ascents = sum(a < b for a, b in pairwise(order))
    assert abs(ascents - size / 2) < 5 * (size / 12) ** 0.5


def test_any_part_of_a_scattered_order_is_spread():
    first = sorted(islice(scattered(10_000), 100))
    gaps = [b - a for a, b in pairwise(first)]
    assert max(gaps) <= 4 * min(gaps)
