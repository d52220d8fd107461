from __future__ import annotations

from inc_core.hookspecs.strategy import Forecast
from inc_core.quant.recipe import Recipe
from inc_core.tuning.policy import Left
from inc_core.tuning.story import Story, rows_of
from inc_core.tuning.table import trial_table
from inc_core.tuning.trial import Baseline, Trial

BASELINE = Baseline(0.8, {"performance": 0.020}, samples=1000)
TRIALS = (
    Trial(1, Recipe({}), 0.6, status="rejected_early", samples=100, seconds=0.25),
    Trial(2, Recipe({}), 0.79, samples=1000, seconds=1.5, forecast=Forecast(0.004, 2.5)),
    Trial(3, Recipe({}), status="crashed", error="ended by signal 11 (SIGSEGV)" + "!" * 60),
    Trial(4, Recipe({}), 0.797, True, {"performance": 0.010}, samples=1000, seconds=1.5),
    Trial(
        5, Recipe({}, options=("bias_correction",)), 0.796, True, {"performance": 0.008},
        samples=1000, seconds=1.5, forecast=Forecast(0.0035, 2.4),
    ),
)  # fmt: skip


def story(**changes):
    fields = {
        "title": "run-0001",
        "accuracy": 0.8,
        "seconds": 0.020,
        "threshold": 0.792,
        "higher_is_better": True,
        "rows": rows_of(TRIALS, BASELINE),
        "best": frozenset({4, 5}),
        "chosen": 5,
        **changes,
    }
    return Story(**fields)


def lines(**changes):
    return [line.split("  ") for line in trial_table(story(**changes))]


def cells(number, **changes):
    row = lines(**changes)[1 + number]
    return [cell.strip() for cell in row if cell.strip()]


def test_expected_and_measured_stand_side_by_side():
    assert cells(5)[2:7] == ["0.7960", "0.0040", "0.0035", "2.50", "2.40"]


def test_what_is_not_known_is_a_dash():
    assert cells(4)[4:7] == ["-", "2.00", "-"]


def test_an_early_end_gives_estimates():
    assert cells(1)[1:4] == ["rejected early", "~0.6000", "~0.2000"]


def test_the_best_so_far_and_the_chosen_one_are_marked():
    assert [cells(number)[0] for number in range(1, 6)] == ["1", "2", "3", "*4", ">5"]


def test_the_last_line_says_where_the_search_stands():
    line = list(trial_table(story(leading=5, bound=2.64, left=Left(3, 60.0))))[-1]
    assert line == (
        "  best: trial 5, loss 0.0040, 2.50x; thought possible: 2.75x; left: 3 trial(s), 60 s"
    )


def test_without_an_accepted_trial_there_is_no_best():
    assert list(trial_table(story()))[-1] == "  best: none yet"


def test_a_failure_says_why_in_short():
    assert cells(3)[1] == "crashed"
    assert cells(3)[-1].startswith("ended by signal 11 (SIGSEGV)!")
    assert cells(3)[-1].endswith("...")


def test_options_of_a_recipe_are_named():
    assert cells(5)[-1] == "bias_correction"


def test_the_heading_says_what_may_be_lost():
    assert lines()[0] == ["Trials (float 0.8000, 0.0080 may be lost):"]
    assert lines(threshold=None)[0] == ["Trials (float 0.8000):"]
