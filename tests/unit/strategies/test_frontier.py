from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import StrategyError
from inc_core.hookspecs.strategy import NoMeasurements, StrategyContext
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec
from inc_core.strategies.frontier import FrontierStrategy
from inc_core.strategies.frontier.beliefs import Beliefs
from inc_core.testing.simulator import make_problem, run_strategy
from inc_core.testing.strategy_suite import BASELINE, StrategySuite, drive, sample_space
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.trial import Trial

INT8 = OpConfig("static", TensorSpec("uint8", "asym"), TensorSpec("int8"))


class TestFrontier(StrategySuite):
    def make_strategy(self) -> FrontierStrategy:
        return FrontierStrategy()


class TestFrontierFirst(StrategySuite):
    def make_strategy(self) -> FrontierStrategy:
        return FrontierStrategy(effort="first")


def test_unknown_effort_is_named():
    with pytest.raises(StrategyError, match="effort: 'most' is unknown; choose one of first"):
        FrontierStrategy("most")


def test_negative_budget_is_refused():
    with pytest.raises(StrategyError, match="budget: -1 is negative"):
        FrontierStrategy(budget=-1)


def test_effort_first_ends_with_the_first_accepted_trial():
    run = run_strategy(FrontierStrategy("first"), make_problem("diffuse", 50, 1))
    assert [trial.accepted for trial in run.trials].index(True) == len(run.trials) - 1


def test_balanced_goes_on_although_the_first_is_asked_for():
    run = run_strategy(FrontierStrategy(), make_problem("diffuse", 50, 1), stop_at_first=True)
    assert run.share > run.first_share
    assert not run.trials[-1].accepted or sum(trial.accepted for trial in run.trials) > 1


def test_budget_bounds_the_trials():
    run = run_strategy(FrontierStrategy("max", budget=5), make_problem("diffuse", 50, 1))
    assert len(run.trials) <= 1 + 5


@pytest.mark.parametrize("family", ["diffuse", "hidden", "worst_of"])
def test_every_trial_of_one_scheme_corrects_the_loss_model(monkeypatch, family):
    told = []
    observe = Beliefs.observe
    monkeypatch.setattr(
        Beliefs,
        "observe",
        lambda self, selection, *rest, **options: (
            told.append(selection.tobytes()),
            observe(self, selection, *rest, **options),
        ),
    )
    problem = make_problem(family, 30, 0)
    run = run_strategy(FrontierStrategy(), problem)
    tried = [(problem.vector(trial.recipe) == 0).tobytes() for trial in run.trials]
    assert [selection for selection in tried if selection not in told] == []


def test_most_effort_finds_no_less():
    problems = [make_problem("interactions", 12, seed) for seed in range(5)]
    found = {
        effort: [run_strategy(FrontierStrategy(effort), problem) for problem in problems]
        for effort in ("first", "balanced", "max")
    }
    share = {effort: sum(run.share for run in runs) for effort, runs in found.items()}
    units = {effort: sum(run.units for run in runs) for effort, runs in found.items()}
    assert share["first"] < share["balanced"] < share["max"]
    assert units["first"] < units["balanced"] < units["max"]


def test_it_ends_where_nothing_worth_a_trial_is_left():
    """Two per cent more of what is saved, were it certain, is not worth another evaluation."""
    problem = make_problem("few", 100, 7)
    run = run_strategy(FrontierStrategy(), problem)
    limit = problem.gain(problem.vector(problem.space.default()))
    assert len(run.trials) <= 6
    last = run.trials[-1]
    assert last.accepted and problem.gain(problem.vector(last.recipe)) > 0.96 * limit


def test_where_the_model_is_lost_blocks_are_added_to_the_best():
    """Blocks of ops that only lose together: no sum over ops can say that."""
    runs = [run_strategy(FrontierStrategy(), make_problem("blocks", 100, s)) for s in range(4)]
    assert sum(run.share for run in runs) / 4 >= 0.76
    assert all(run.units <= 13 for run in runs)


def test_op_that_is_slower_in_integers_stays_float():
    problem = make_problem("benign", 30, 0)
    slow = problem.seconds.copy()
    slow[7, 0] = 2 * slow[7, 1]
    problem = type(problem)(**{**fields_of(problem), "seconds": slow})
    run = run_strategy(FrontierStrategy(), problem)
    assert not run.trials[0].recipe.ops[OpKey("op7", "Conv")].is_quantized


def fields_of(problem):
    return {name: getattr(problem, name) for name in problem.__dataclass_fields__}


def test_only_one_group_can_be_quantized_and_it_is_found():
    ops = [OpKey(f"op{i}", "Conv") for i in range(23)]
    space = TuningSpace(tuple(OpCapability(op, (INT8, FP32)) for op in ops))

    def outcome(recipe):
        return BASELINE if set(recipe.quantized_ops) <= {ops[17]} else 0.1

    trials = drive(FrontierStrategy(), space, outcome)
    assert trials[-1].accepted
    assert trials[-1].recipe.quantized_ops == (ops[17],)


def test_float_is_the_answer_where_nothing_else_is():
    trials = drive(
        FrontierStrategy(), sample_space(), lambda r: 0.1 if r.quantized_ops else BASELINE
    )
    assert trials[-1].accepted
    assert trials[-1].recipe == sample_space().all_float()


def test_better_option_set_is_tried_where_the_default_is_far_off():
    def outcome(recipe):
        return BASELINE if recipe.options else 0.1

    trials = drive(FrontierStrategy(), sample_space(), outcome)
    assert len(trials) == 2
    assert trials[-1].recipe.options == ("cross_layer_equalization",)


class Outputs(NoMeasurements):
    """Tells how far outputs are: with options a tenth as far."""

    def divergence(self, recipe, samples):
        return 0.1 if recipe.options else 1.0


def second_proposal(measure):
    """Return what is proposed after all ops lost one and a half times what is allowed."""
    criterion = Criterion(BASELINE)
    context = StrategyContext(np.random.default_rng(0), BASELINE, criterion, measure=measure)
    proposals = FrontierStrategy().propose(sample_space(), context)
    accuracy = BASELINE - 1.5 * criterion.allowed
    return proposals.send(Trial(1, next(proposals), accuracy=accuracy))


def test_an_option_set_much_closer_to_float_is_tried_before_ops_are_taken_back():
    assert second_proposal(Outputs()).options == ("cross_layer_equalization",)


def first_proposal(tolerance, measure):
    context = StrategyContext(
        np.random.default_rng(0), BASELINE, Criterion(BASELINE, tolerance), measure=measure
    )
    return next(FrontierStrategy().propose(sample_space(), context))


def test_where_the_goal_is_near_float_the_option_set_that_is_far_closer_comes_first():
    assert first_proposal(0.001, Outputs()).options == ("cross_layer_equalization",)
    assert first_proposal(0.001, NoMeasurements()).options == ()


def test_with_a_usual_goal_the_default_comes_first():
    assert first_proposal(0.01, Outputs()).options == ()


class HalfAsFar(Outputs):
    """Options bring outputs to half the distance, another range rule to 0.6 of it."""

    def divergence(self, recipe, samples):
        if recipe.options:
            return 0.5
        return 0.6 if "kl" in rules_of(recipe) else 1.0


def rules_of(recipe):
    activations = [config.activation for config in recipe.ops.values()]
    return {activation.algorithm for activation in activations if activation is not None}


def test_what_is_further_off_than_an_option_set_that_failed_is_not_tried():
    criterion = Criterion(BASELINE)
    context = StrategyContext(np.random.default_rng(0), BASELINE, criterion, measure=HalfAsFar())
    proposals = FrontierStrategy().propose(sample_space(), context)
    tried = [next(proposals)]
    for number in range(1, 4):
        trial = Trial(number, tried[-1], accuracy=BASELINE - 2 * criterion.allowed)
        tried.append(proposals.send(trial))
    assert tried[1].options == ("cross_layer_equalization",)
    assert all("kl" not in rules_of(recipe) for recipe in tried)


class Combined(Outputs):
    """Options bring outputs to half the distance, and with another range rule to a fifth."""

    def divergence(self, recipe, samples):
        closeness = 0.4 if "kl" in rules_of(recipe) else 1.0
        return closeness * (0.5 if recipe.options else 1.0)


def test_range_rules_are_combined_with_the_option_set_that_was_best():
    criterion = Criterion(BASELINE)
    context = StrategyContext(np.random.default_rng(0), BASELINE, criterion, measure=Combined())
    proposals = FrontierStrategy().propose(sample_space(), context)
    tried = [next(proposals)]
    for number, losses in enumerate((2.0, 1.8), 1):
        trial = Trial(number, tried[-1], accuracy=BASELINE - losses * criterion.allowed)
        tried.append(proposals.send(trial))
    assert tried[2].options == ("cross_layer_equalization",)
    assert "kl" in rules_of(tried[2])


def test_near_the_goal_no_option_set_is_tried_on_the_off_chance():
    assert second_proposal(NoMeasurements()).options == ()


def test_failing_evaluations_need_not_tell_more_than_the_direction():
    """Early stopping only changes what is paid."""
    problems = [make_problem("few", 60, seed) for seed in range(4)]
    full, early = (
        [run_strategy(FrontierStrategy(), problem, early_stop=stop) for problem in problems]
        for stop in (False, True)
    )
    assert all(run.accepted for run in full + early)
    assert sum(run.units for run in early) < sum(run.units for run in full)


@pytest.mark.parametrize("sensitivity", ["none", "probes"])
def test_other_sources_of_sensitivity_serve_as_well(sensitivity):
    from inc_core.testing.simulator import Constants

    problem = make_problem("few", 40, 1, constants=Constants(sensitivity=sensitivity))
    run = run_strategy(FrontierStrategy(), problem)
    assert run.share > 0.9


def test_width_does_not_change_what_is_told_in_which_order():
    problem = make_problem("hard", 40, 1)
    one, other = (run_strategy(FrontierStrategy(), problem, width=4) for _ in range(2))
    assert [t.recipe.fingerprint for t in one.trials] == [
        t.recipe.fingerprint for t in other.trials
    ]
