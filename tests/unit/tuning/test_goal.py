from __future__ import annotations

import pytest

from inc_core.tuning.criterion import Criterion
from inc_core.tuning.goal import doubt_of_goal


@pytest.mark.parametrize(
    ("criterion", "possible", "doubt"),
    [
        (Criterion(0.98, 0.01), (0, 1), ""),
        (Criterion(0.98, 1, relative=False), (0, 1), "any model meets the goal"),
        (Criterion(98, 1, relative=False), (0, 100), ""),
        (Criterion(0.98, -1, relative=False), (0, 1), "no model can meet the goal"),
        (Criterion(0.1, 1, relative=False, higher_is_better=False), (0, 1), "any model meets"),
        (Criterion(0.1, -1, relative=False, higher_is_better=False), (0, 1), "no model can meet"),
        (Criterion(0.1, 0.01, higher_is_better=False), (0, 1), ""),
        (Criterion(0.98, 1, relative=False), None, ""),
    ],
)
def test_a_goal_that_decides_nothing_is_doubted_where_the_range_is_known(
    criterion, possible, doubt
):
    found = doubt_of_goal(criterion, possible)
    assert found.startswith(doubt)
    assert bool(found) == bool(doubt)


def test_it_says_what_is_asked_for_what_there_is_and_how_a_per_cent_is_written():
    assert doubt_of_goal(Criterion(0.98, 1, relative=False), (0, 1)) == (
        "any model meets the goal: the float model has 0.98 and the accuracy goal is at least -0.02, "
        "but results are within [0, 1]. Write a loss of one per cent as 0.01 or 1%"
    )
