"""A fresh metric for each evaluation, whatever the user gave."""

from __future__ import annotations

import threading

import pytest

from inc_core.common import Metric
from inc_core.data.metrics import fresh_metric, higher_is_better_of
from inc_core.errors import ConfigError


class OfTheSeed:
    """Without ``reset``, as the seed prints it."""

    def __init__(self, weight=1):
        self.total = 0
        self.weight = weight

    def update(self, predictions, labels):
        self.total += self.weight * len(labels)

    def result(self):
        return self.total


class WithReset(OfTheSeed):
    def reset(self):
        self.total = 0


class Error(OfTheSeed):
    higher_is_better = False


GIVEN = {
    "class": OfTheSeed,
    "instance without reset": OfTheSeed(),
    "instance with reset": WithReset(),
    "holder of a class": Metric(OfTheSeed),
    "holder of an instance": Metric(OfTheSeed()),
    "holder of a function": Metric(lambda: OfTheSeed()),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_each_evaluation_starts_afresh(given):
    for _ in range(3):
        metric = fresh_metric(given)
        metric.update(None, [1, 2])
        assert metric.result() == 2


def test_a_class_that_begins_its_sums_in_reset_is_reset():
    """As metrics of the original do, which called it before every evaluation."""

    class Original(OfTheSeed):
        def __init__(self):
            pass

        def reset(self):
            self.total, self.weight = 0, 1

    metric = fresh_metric(Metric(Original))
    metric.update([0, 1], [0, 1])
    assert metric.result() == 2


def test_an_instance_with_reset_is_used_itself():
    metric = WithReset()
    assert fresh_metric(metric) is metric


def test_an_instance_without_reset_is_not_touched():
    metric = OfTheSeed()
    fresh_metric(metric).update(None, [1])
    assert metric.total == 0


def test_state_in_which_an_instance_was_given_is_kept():
    metric = OfTheSeed()
    metric.weight = 10
    fresh = fresh_metric(metric)
    fresh.update(None, [1])
    assert fresh.result() == 10


def test_parameters_reach_the_class():
    assert fresh_metric(Metric(OfTheSeed, "heavy", weight=7)).weight == 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda model: 0.5,
            "function has no update and no result. A function of the model is set as",
        ),
        (3, r"needs update\(predictions, labels\) and result\(\); int has no update"),
        (type("Half", (), {"update": print}), "Half has no result"),
        (Metric(OfTheSeed, width=3), "OfTheSeed cannot be made with {'width': 3}: .*unexpected"),
        (Metric(int), "int has no update"),
    ],
)
def test_what_is_no_metric_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        fresh_metric(given)


def test_an_instance_that_cannot_be_copied_is_refused():
    metric = OfTheSeed()
    metric.lock = threading.Lock()
    with pytest.raises(
        ConfigError, match=r"no reset\(\), and cannot be copied .* common.Metric\(cls\)"
    ):
        fresh_metric(metric)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, True),
        (OfTheSeed, True),
        (Error, False),
        (Error(), False),
        (Metric(Error), False),
        (Metric(lambda: Error()), False),
    ],
)
def test_direction_is_what_the_metric_states(given, expected):
    assert higher_is_better_of(given) is expected
