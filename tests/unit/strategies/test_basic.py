from __future__ import annotations

import pytest

from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec
from inc_core.strategies.basic import MAX_SCHEMES, RESTARTS, BasicStrategy
from inc_core.testing.strategy_suite import BASELINE, StrategySuite, drive, sample_space


class TestBasic(StrategySuite):
    def make_strategy(self) -> BasicStrategy:
        return BasicStrategy()

    def max_trials(self, space: TuningSpace) -> int:
        return MAX_SCHEMES + (2 + RESTARTS) * len(space.ops) + 1


def tried(outcome, space=None, **options) -> list[Recipe]:
    trials = drive(BasicStrategy(), space or sample_space(), outcome, **options)
    return [trial.recipe for trial in trials]


def floats(recipe: Recipe) -> list[str]:
    return [op.name for op, config in recipe.ops.items() if not config.is_quantized]


def test_the_default_comes_first_and_the_other_option_sets_next():
    recipes = tried(lambda recipe: 0.1)
    assert recipes[0] == sample_space().default()
    assert recipes[1].options == ("cross_layer_equalization",)
    assert recipes[1].ops == recipes[0].ops


def test_schemes_go_on_from_the_best_option_set():
    better = {("cross_layer_equalization",): 0.5, (): 0.1}
    recipes = tried(lambda recipe: better[recipe.options])
    assert {recipe.options for recipe in recipes[2:-1]} == {("cross_layer_equalization",)}


def test_all_dynamic_is_tried_before_other_algorithms():
    recipes = tried(lambda recipe: 0.1)
    modes = [{c.mode for op, c in r.ops.items() if op.type == "Conv"} for r in recipes]
    algorithms = [
        {c.activation.algorithm for c in r.ops.values() if c.mode == "static"} for r in recipes
    ]
    assert modes.index({"dynamic"}) < next(k for k, a in enumerate(algorithms) if "kl" in a)


def test_the_scheme_of_one_op_type_alone_is_tried():
    def outcome(recipe):
        return 0.1 + 0.01 * sum(
            op.type == "Conv" and config.mode == "dynamic" for op, config in recipe.ops.items()
        )

    assert any(
        all(c.mode == "dynamic" for op, c in recipe.ops.items() if op.type == "Conv")
        for recipe in tried(outcome)
    )


def test_other_calibration_sizes_are_tried():
    assert {recipe.calib_samples for recipe in tried(lambda recipe: 0.1)} == {100, 200}


def test_ops_fall_back_one_by_one_from_the_last_with_groups_together():
    recipes = tried(lambda recipe: 0.1)
    singles = [r for r in recipes if 1 < len(floats(r)) <= 3][:5]
    assert [floats(recipe) for recipe in singles] == [
        ["op5", "softmax"],
        ["op4", "softmax"],
        ["op3", "softmax"],
        ["op1", "op2", "softmax"],
        ["op0", "softmax"],
    ]


def test_the_cumulative_stage_starts_with_the_ops_that_helped_most():
    harm = {"op0": 0.2, "op3": 0.3, "op4": 0.01}

    def outcome(recipe):
        quantized = {op.name for op in recipe.quantized_ops}
        return BASELINE - sum(harm.get(name, 0.0) for name in quantized)

    recipes = tried(outcome)
    # 0.01 is more than the allowed 0.008, so all three must be float
    assert floats(recipes[-2]) == ["op0", "op3", "softmax"]
    assert floats(recipes[-1]) == ["op0", "op3", "op4", "softmax"]


def test_ops_that_only_help_together_are_found_without_giving_up_the_others():
    def outcome(recipe):
        quantized = {op.name for op in recipe.quantized_ops}
        return 0.1 if quantized & {"op0", "op3"} else BASELINE  # either alone spoils everything

    recipes = tried(outcome)
    assert floats(recipes[-1]) == ["op0", "op3", "op4", "op5", "softmax"]


def test_with_lower_better_the_order_follows_the_direction():
    # drive() uses a metric where higher is better; here the sign comes from the criterion
    from inc_core.hookspecs.strategy import StrategyContext
    from inc_core.tuning.criterion import Criterion
    from inc_core.tuning.trial import Trial

    criterion = Criterion(1.0, higher_is_better=False)
    context = StrategyContext(None, 1.0, criterion)  # type: ignore[arg-type]
    proposals = BasicStrategy().propose(sample_space(), context)
    recipe, last_but_one = next(proposals), None
    try:
        while True:
            error = 1.0 + sum(op.name in ("op0", "op3") for op in recipe.quantized_ops)
            last_but_one = recipe
            if criterion.accepts(error):
                break
            recipe = proposals.send(Trial(1, recipe, accuracy=error))
    except StopIteration:
        pass
    assert floats(last_but_one) == ["op0", "op3", "softmax"]


def test_the_search_ends_in_the_float_model():
    assert tried(lambda recipe: 0.1)[-1] == sample_space().all_float()


def test_the_schemes_are_bounded_however_many_options_there_are():
    algorithms = [f"a{k}" for k in range(20)]
    configs = tuple(
        OpConfig("static", TensorSpec("uint8", "asym", algorithm=name)) for name in algorithms
    )
    ops = [OpCapability(OpKey(f"op{k}", f"Type{k}"), (*configs, FP32)) for k in range(5)]
    recipes = tried(lambda recipe: 0.1, TuningSpace(tuple(ops)))
    assert len([r for r in recipes if not floats(r)]) == MAX_SCHEMES


def test_no_recipe_is_proposed_twice():
    prints = [recipe.fingerprint for recipe in tried(lambda recipe: 0.1)]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("width", [1, 3, 8])
def test_the_winner_does_not_depend_on_the_width(width):
    def outcome(recipe):
        return BASELINE - 0.2 * sum(op.name in ("op0", "op4") for op in recipe.quantized_ops)

    trials = drive(BasicStrategy(), sample_space(), outcome, width=width)
    assert floats(next(t for t in trials if t.accepted).recipe) == ["op0", "op4", "softmax"]
