from __future__ import annotations

import pytest

from inc_core.config.types import ExitPolicyConfig
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32, OpKey
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.policy import REPETITIONS, Ranking, Stopping, failing_alike
from inc_core.tuning.trial import Trial

RECIPE = Recipe({OpKey("fc", "Linear"): FP32})


def trial(number=1, **fields):
    return Trial(number, RECIPE, **fields)


def good(number, accuracy=0.8, seconds=1.0, **objectives):
    return trial(number, accuracy=accuracy, accepted=True, seconds=seconds, objectives=objectives)


def bad(number, accuracy=0.1):
    return trial(number, accuracy=accuracy, seconds=1.0)


def failed(number, error="ValueError: fc1 is broken [at kernels.py:7 in run]", status="failed"):
    return trial(number, status=status, error=error)


def after(policy, *trials):
    stop = Stopping(policy).after(trials)
    return None if stop is None else stop.reason


def test_without_a_timeout_the_first_accepted_trial_ends_the_search():
    assert after(ExitPolicyConfig(), bad(1)) is None
    assert after(ExitPolicyConfig(), bad(1), good(2)) == "goal_met"


def test_with_a_timeout_an_accepted_trial_does_not_end_the_search():
    assert after(ExitPolicyConfig(timeout=60), good(1)) is None


def test_max_trials_counts_the_trials_that_ran():
    policy = ExitPolicyConfig(max_trials=2)
    assert after(policy, bad(1), trial(2, status="cached")) is None
    assert after(policy, bad(1), trial(2, status="cached"), bad(3)) == "max_trials"


def test_a_strategy_that_only_repeats_itself_has_ended():
    repeated = [trial(n, status="cached") for n in range(REPETITIONS)]
    assert after(ExitPolicyConfig(), *repeated) == "exhausted"


def test_three_recipes_in_a_row_that_fail_alike_end_the_search():
    assert after(ExitPolicyConfig(), failed(1), failed(2)) is None
    assert after(ExitPolicyConfig(), bad(1), failed(2), failed(3), failed(4)) == "failures"


@pytest.mark.parametrize(
    "trials",
    [
        pytest.param([failed(1), failed(2), bad(3), failed(4)], id="one in between worked"),
        pytest.param([failed(1), failed(2), failed(3, "TypeError: x")], id="another exception"),
        pytest.param(
            [failed(1), failed(2), failed(3, "ValueError: fc1 [at other.py:1 in f]")],
            id="another place",
        ),
        pytest.param([failed(1), failed(2), failed(3, status="oom")], id="out of memory"),
        pytest.param([failed(1), failed(2), trial(3, status="cached")], id="the same recipe again"),
    ],
)
def test_other_failures_do_not(trials):
    assert not failing_alike(trials)


def test_failures_are_alike_whatever_op_their_messages_name():
    errors = [f"ValueError: fc{n} is broken [at kernels.py:7 in run]" for n in range(3)]
    assert failing_alike([failed(n, error) for n, error in enumerate(errors)])


def before(trials, elapsed, timeout=10.0):
    return Stopping(ExitPolicyConfig(timeout=timeout)).before(trials, elapsed)


def test_no_trial_starts_that_is_predicted_not_to_fit():
    trials = [good(1, seconds=4.0), good(2, seconds=4.0)]
    assert before(trials, elapsed=5.9) is None
    stop = before(trials, elapsed=6.5)
    assert stop.message == "3.5 s of 10 s are left and a trial takes about 4.0 s"


def test_the_first_trial_starts_unless_the_time_is_already_up():
    assert before([], elapsed=9.9) is None
    assert before([], elapsed=10.0).message == "the time of 10 s is up"


def test_without_a_timeout_time_does_not_count():
    assert before([good(1)], elapsed=1e9, timeout=0.0) is None


def ranking(criterion=None, baseline=None, weights=None, higher=None):
    return Ranking(
        criterion=criterion or Criterion(0.8),
        baseline={"latency": 2.0, "size": 100.0} if baseline is None else baseline,
        weights=weights or {"latency": 1.0},
        higher_is_better=higher or {},
    )


def test_the_fastest_accepted_trial_is_best():
    trials = [good(1, latency=1.0), good(2, latency=0.5), bad(3)]
    assert ranking().best(trials).number == 2


def test_the_more_accurate_of_two_equally_fast_trials_is_best():
    assert ranking().best([good(1, 0.79, latency=1.0), good(2, 0.8, latency=1.0)]).number == 2


def test_the_earlier_of_two_equal_trials_is_best():
    assert ranking().best([good(1, latency=1.0), good(2, latency=1.0)]).number == 1


def test_none_is_best_if_none_is_accepted():
    assert ranking().best([bad(1), failed(2)]) is None


def test_weights_decide_between_objectives():
    trials = [good(1, latency=1.0, size=100.0), good(2, latency=2.0, size=40.0)]
    assert ranking(weights={"latency": 1.0, "size": 0.1}).best(trials).number == 1
    assert ranking(weights={"latency": 0.1, "size": 1.0}).best(trials).number == 2


def test_an_objective_may_be_better_if_higher():
    trials = [good(1, rate=10.0), good(2, rate=20.0)]
    best = ranking(baseline={"rate": 5.0}, weights={"rate": 1.0}, higher={"rate": True}).best(
        trials
    )
    assert best.number == 2


def test_a_baseline_objective_of_zero_still_ranks():
    trials = [good(1, drift=3.0), good(2, drift=1.0)]
    assert ranking(baseline={"drift": 0.0}, weights={"drift": 1.0}).best(trials).number == 2


def test_a_negative_baseline_accuracy_ranks_by_the_direction():
    loss = Criterion(-2.0, higher_is_better=False)
    assert ranking(loss).best([good(1, -2.0, latency=1.0), good(2, -2.1, latency=1.0)]).number == 2
