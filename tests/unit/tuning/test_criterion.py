from __future__ import annotations

import pytest

from inc_core.errors import EvaluationError
from inc_core.tuning.criterion import Criterion


@pytest.mark.parametrize(
    ("criterion", "threshold"),
    [
        pytest.param(Criterion(0.8), 0.792, id="relative"),
        pytest.param(Criterion(0.8, 0.05, relative=False), 0.75, id="absolute"),
        pytest.param(Criterion(2.0, 0.1, higher_is_better=False), 2.2, id="lower is better"),
        pytest.param(Criterion(-2.0, 0.1), -2.2, id="negative baseline"),
        pytest.param(
            Criterion(-2.0, 0.1, higher_is_better=False), -1.8, id="negative, lower is better"
        ),
        pytest.param(Criterion(0.0, 0.1, relative=False), -0.1, id="zero baseline, absolute"),
    ],
)
def test_the_threshold_is_worse_than_the_baseline_by_the_tolerance(criterion, threshold):
    assert criterion.threshold == pytest.approx(threshold)
    assert criterion.accepts(criterion.threshold)
    assert criterion.accepts(criterion.baseline)
    worse = criterion.threshold + (-1e-6 if criterion.higher_is_better else 1e-6)
    assert not criterion.accepts(worse)


def test_a_zero_baseline_with_a_relative_goal_is_an_error():
    with pytest.raises(EvaluationError, match="accuracy is 0, so a relative loss has no meaning"):
        Criterion(0.0)


def test_a_baseline_of_nan_is_an_error():
    with pytest.raises(EvaluationError, match="accuracy is nan: no goal can be derived"):
        Criterion(float("nan"))
