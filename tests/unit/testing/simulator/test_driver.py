from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import StrategyError
from inc_core.quant.spec import FP32, OpConfig
from inc_core.strategies.basic import BasicStrategy
from inc_core.testing.simulator import make_problem, run_strategy
from inc_core.testing.simulator.costs import data_used


class Fixed:
    """Proposes given choice vectors of a problem."""

    def __init__(self, problem, *vectors):
        self.recipes = [problem.recipe(vector) for vector in vectors]

    def propose(self, space, context):
        for recipe in self.recipes:  # noqa: UP028  a list's iterator cannot be sent to
            yield recipe


def first(problem, count):
    return np.where(np.arange(problem.size) < count, 0, 1)


def test_seed_and_problem_decide_everything():
    problem = make_problem("diffuse", 30, 2)
    one, other = (run_strategy(BasicStrategy(), problem, seed=3) for _ in range(2))
    assert [t.recipe for t in one.trials] == [t.recipe for t in other.trials]
    assert one.units == other.units


def test_what_passes_costs_a_unit_and_what_fails_less():
    problem = make_problem("collapse", 30, 0)
    run = run_strategy(Fixed(problem, first(problem, 30), first(problem, 1)), problem)
    assert [trial.status for trial in run.trials] == ["rejected_early", "ok"]
    assert run.units == pytest.approx(1.0, abs=0.05)
    assert run.first_units == run.units


def test_without_early_stop_everything_costs_a_unit():
    problem = make_problem("collapse", 30, 0)
    strategy = Fixed(problem, first(problem, 30), first(problem, 1))
    assert run_strategy(strategy, problem, early_stop=False).units == 2.0


def test_same_recipe_again_is_cached_and_free():
    problem = make_problem("collapse", 30, 0)
    strategy = Fixed(problem, *[first(problem, 30)] * 2)
    run = run_strategy(strategy, problem)
    assert [trial.status for trial in run.trials] == ["rejected_early", "cached"]
    assert run.units < 0.1


def test_first_accepted_trial_ends_it_unless_more_is_wanted():
    problem = make_problem("benign", 20, 0)
    vectors = [first(problem, n) for n in (20, 19, 18)]
    assert len(run_strategy(Fixed(problem, *vectors), problem).trials) == 1
    assert len(run_strategy(Fixed(problem, *vectors), problem, stop_at_first=False).trials) == 3


def test_strategy_with_its_own_stop_rule_goes_on():
    problem = make_problem("benign", 20, 0)
    strategy = Fixed(problem, *[first(problem, n) for n in (20, 19, 18)])
    strategy.own_stop_rule = True
    assert len(run_strategy(strategy, problem).trials) == 3


def test_float_is_no_success():
    problem = make_problem("hard", 20, 0)
    run = run_strategy(Fixed(problem, first(problem, 0)), problem)
    assert not run.accepted
    assert run.share == 0


def test_share_is_that_of_the_fastest_accepted():
    problem = make_problem("benign", 20, 0)
    run = run_strategy(
        Fixed(problem, first(problem, 5), first(problem, 20)), problem, stop_at_first=False
    )
    assert run.share == pytest.approx(1.0)
    assert run.first_share < 1
    assert [share for _, share in run.curve] == [run.first_share, run.share]


def test_proposal_outside_of_the_space_is_an_error():
    problem = make_problem("few", 5, 0)
    recipe = problem.space.default().with_op(problem.space.ops[0], OpConfig("bf16"))
    strategy = Fixed(problem)
    strategy.recipes = [recipe]
    with pytest.raises(StrategyError, match="trial 1 is not in the space"):
        run_strategy(strategy, problem)
    assert FP32 in problem.space.options(problem.space.ops[0])


def test_rejected_accuracy_is_an_estimate_on_the_failing_side():
    for seed in range(10):
        problem = make_problem("hard", 60, seed)
        (trial,) = run_strategy(Fixed(problem, first(problem, 60)), problem).trials
        assert not trial.accepted
        assert not problem.criterion.accepts(trial.accuracy)
        assert trial.samples < 1000


@pytest.mark.parametrize(("loss", "share"), [(0.5, 1.0), (1.2, 0.9), (3.0, 0.12), (60.0, 0.008)])
def test_sequential_test_needs_what_was_measured(loss, share):
    assert data_used(loss, 1.0) == pytest.approx(share, rel=0.01)
