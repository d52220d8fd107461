"""``MetricSuite`` passes a good metric, and notices each kind of bad one."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core.testing.metric_suite import MetricSuite
from inc_core.testing.toy.problems import ToyAccuracy

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(11, 4))
LABELS = RNG.integers(0, 4, 11)
EXPECTED = float((SCORES.argmax(axis=1) == LABELS).mean())
SUITE = MetricSuite()


class TestToyAccuracy(MetricSuite):
    @pytest.fixture
    def make_metric(self):
        return ToyAccuracy

    @pytest.fixture
    def predictions(self):
        return SCORES

    @pytest.fixture
    def labels(self):
        return LABELS

    @pytest.fixture
    def expected(self):
        return EXPECTED


class PairedError:
    """Takes two outputs and labels by name; has neither reset nor direction."""

    def __init__(self):
        self.total, self.count = 0.0, 0

    def update(self, predictions, labels):
        first, second = predictions
        self.total += float(np.abs(first + second - labels["y"]).sum())
        self.count += len(first)

    def result(self):
        return self.total / self.count


class TestNestsOfArrays(MetricSuite):
    @pytest.fixture
    def make_metric(self):
        return PairedError

    @pytest.fixture
    def predictions(self):
        return (np.arange(5.0), np.ones(5))

    @pytest.fixture
    def labels(self):
        return {"y": np.zeros(5)}

    @pytest.fixture
    def expected(self):
        return 3.0


class MeanOfBatches:
    def __init__(self):
        self.values = []

    def update(self, predictions, labels):
        self.values.append((predictions.argmax(-1) == labels).mean())

    def result(self):
        return float(np.mean(self.values))


class Keeping:
    def __init__(self):
        self.batches = []

    def update(self, predictions, labels):
        self.batches.append((predictions, labels))

    def result(self):
        hits = [predictions.argmax(-1) == labels for predictions, labels in self.batches]
        return float(np.concatenate(hits).mean())


class Sharing(Keeping):
    batches = []  # noqa: RUF012 - the mistake under test

    def __init__(self):
        pass


class Sorting(ToyAccuracy):
    def update(self, predictions, labels):
        predictions.sort(axis=1)
        super().update(predictions, labels)


class Forgetful(ToyAccuracy):
    def result(self):
        value = super().result()
        self.reset()
        return value


class HalfReset(ToyAccuracy):
    def reset(self):
        self._hits = 0
        self._total = getattr(self, "_total", 0)


class Undecided(ToyAccuracy):
    higher_is_better = "yes"


class LastWins(ToyAccuracy):
    def update(self, predictions, labels):
        self.reset()
        super().update(predictions[-1:], labels[-1:])


class HalfMerged(ToyAccuracy):
    def merge(self, other):
        self._hits += other._hits


class TakingOver(ToyAccuracy):
    def merge(self, other):
        super().merge(other)
        other.reset()
        other.update(SCORES[:1], 1 - LABELS[:1])


@pytest.mark.parametrize(
    ("metric", "check"),
    [
        (MeanOfBatches, "a_short_last_batch_weighs_less"),
        (MeanOfBatches, "any_split_into_batches_gives_the_expected_value"),
        (Keeping, "arrays_may_be_reused_after_an_update"),
        (Sharing, "instances_share_nothing"),
        (Sorting, "arguments_are_not_modified"),
        (Sorting, "one_batch_gives_the_expected_value"),
        (Forgetful, "asking_for_the_result_changes_nothing"),
        (HalfReset, "reset_forgets_everything"),
        (Undecided, "direction_is_a_bool"),
        (HalfMerged, "merged_batches_have_exactly_the_result_of_all"),
        (TakingOver, "merged_batches_have_exactly_the_result_of_all"),
        (LastWins, "order_of_samples_does_not_matter"),
    ],
)
def test_bad_metric_is_noticed(metric, check):
    given = {
        "make_metric": metric,
        "predictions": SCORES.copy(),
        "labels": LABELS.copy(),
        "expected": EXPECTED,
    }
    test = getattr(SUITE, f"test_{check}")
    names = test.__func__.__code__.co_varnames[1 : test.__func__.__code__.co_argcount]
    with pytest.raises((AssertionError, ZeroDivisionError)):
        test(**{name: given[name] for name in names})
