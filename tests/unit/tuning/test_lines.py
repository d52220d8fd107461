from __future__ import annotations

from dataclasses import replace

import pytest

from inc_core.config.types import ExitPolicyConfig
from inc_core.hookspecs.strategy import Forecast
from inc_core.quant.recipe import Recipe
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.lines import detail_lines, stop_lines
from inc_core.tuning.policy import Left, Stopping
from inc_core.tuning.trial import Baseline, Trial, TuningResult

CRITERION = Criterion(0.8)
BASELINE = Baseline(0.8, {"performance": 0.020}, seconds=2.0, samples=10_000)
BEST = Trial(2, Recipe({}), 0.797, True, {"performance": 0.010}, samples=10_000, seconds=2.5)


def details(trial, best=BEST, bound=None, left=None):
    return list(detail_lines(trial, BASELINE, CRITERION, best, bound, left or Left()))


def trial(accuracy=0.795, **fields):
    return Trial(3, Recipe({}), accuracy, samples=10_000, **fields)


def test_what_was_found_stands_beside_what_was_expected():
    tried = trial(
        accepted=True,
        objectives={"performance": 0.008},
        forecast=Forecast(loss=0.0031, speedup=2.4),
    )
    assert details(tried)[0] == (
        "  loss 0.0050 (0.0031 expected, 0.0080 allowed), speed-up 2.50x (2.40x expected), "
        "10000 of 10000 samples"
    )


def test_the_search_stands_at_its_best_its_bound_and_its_budget():
    assert details(trial(), bound=2.2, left=Left(22, 34.2))[1] == (
        "  best: trial 2, loss 0.0030, 2.00x; thought possible: 2.20x; left: 22 trial(s), 34 s"
    )


def test_what_is_thought_possible_is_in_terms_of_what_was_measured():
    # it expected 2.5x of the best and thinks 3x possible: a fifth more than what the best has
    best = replace(BEST, forecast=Forecast(speedup=2.5))
    assert (
        "best: trial 2, loss 0.0030, 2.00x; thought possible: 2.40x"
        in (details(trial(), best=best, bound=3.0)[1])
    )


def test_what_was_measured_is_possible():
    assert "2.00x; thought possible: 2.00x" in details(trial(), bound=1.6)[1]


def test_a_strategy_that_expects_nothing_says_nothing():
    assert details(trial(), best=None) == [
        "  loss 0.0050 (0.0080 allowed), 10000 of 10000 samples",
        "  best: none yet",
    ]


def test_the_speed_of_what_was_rejected_is_not_measured():
    assert "speed-up 2.40x expected, not measured" in details(trial(forecast=Forecast(0.1, 2.4)))[0]


def test_an_early_end_gives_about_a_loss():
    rejected = Trial(3, Recipe({}), 0.7, status="rejected_early", samples=300)
    assert "loss about 0.1000" in details(rejected)[0]
    assert "300 of 10000 samples" in details(rejected)[0]


def test_an_opaque_function_counts_no_samples():
    assert "samples" not in details(Trial(3, Recipe({}), 0.7))[0]


@pytest.mark.parametrize(
    "failed",
    [Trial(3, Recipe({}), None, status="failed"), trial(status="cached")],
    ids=["failed", "tried before"],
)
def test_what_was_not_evaluated_has_no_loss(failed):
    assert details(failed) == ["  best: trial 2, loss 0.0030, 2.00x"]


def test_the_end_says_why_what_and_at_which_cost():
    result = TuningResult(
        baseline=BASELINE,
        trials=(trial(0.7, seconds=1.5), BEST),
        best=BEST,
        stopped_by="goal_met",
        message="nothing more is worth a trial",
        bound=2.05,
    )
    assert list(stop_lines(result, CRITERION)) == [
        "Stopped because the accuracy goal was met: nothing more is worth a trial",
        "  best: trial 2, loss 0.0030, 2.00x; thought possible: 2.05x; "
        "2 trial(s), 30000 samples evaluated, 6.0 s",
    ]


class TestLeft:
    def test_without_limits_nothing_is_left_to_be_counted(self):
        assert Stopping(ExitPolicyConfig()).left([trial()], 5.0) == Left(None, None)

    def test_the_policy_limits_trials_and_seconds(self):
        stopping = Stopping(ExitPolicyConfig(max_trials=10, timeout=60))
        assert stopping.left([trial(), trial(status="cached")], 25.0) == Left(9, 35.0)

    def test_the_strategy_may_end_earlier_by_its_own_word(self):
        stopping = Stopping(ExitPolicyConfig(max_trials=10))
        assert stopping.left([trial(forecast=Forecast(trials_left=4))], 0.0).trials == 3

    def test_time_that_is_over_is_not_negative(self):
        assert Stopping(ExitPolicyConfig(timeout=60)).left([trial()], 61.0).seconds == 0.0
