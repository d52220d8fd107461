"""What an evaluation tells of a model's latency, beside its accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core import common
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.batch_seconds import LEAST_BATCHES, BatchSeconds
from inc_core.tuning.evaluate import MetricEvaluator

SMALL, LARGE = np.zeros((2, 3)), np.zeros((4, 3))


def timed(*entries):
    seconds = BatchSeconds()
    for inputs, value in entries:
        seconds.add(inputs, value)
    return seconds


def test_the_median_is_that_of_batches_of_the_same_shapes_without_the_first():
    entries = [(LARGE, float(value)) for value in range(1, LEAST_BATCHES + 1)]
    seconds = timed((LARGE, 100.0), *entries, (SMALL, 0.5))
    assert seconds.median(np.ones((4, 3))) == (LEAST_BATCHES + 1) / 2
    assert seconds.median(SMALL) is None


def test_few_batches_tell_nothing():
    assert timed(*[(SMALL, 1.0)] * LEAST_BATCHES).median(SMALL) is None
    assert timed(*[(SMALL, 1.0)] * (LEAST_BATCHES + 1)).median(SMALL) == 1.0


@pytest.mark.parametrize(
    "nest", [lambda x: {"a": x, "b": [x, 1]}, lambda x: (x, {"c": x})], ids=["mapping", "tuple"]
)
def test_inputs_may_be_nests(nest):
    seconds = timed(*[(nest(SMALL), 1.0)] * (LEAST_BATCHES + 1))
    assert seconds.median(nest(SMALL)) == 1.0
    assert seconds.median(nest(LARGE)) is None


@pytest.fixture
def evaluated():
    model = make_classifier()
    data = make_data(model, 8 * 8)
    samples = list(zip(data.inputs, data.labels, strict=True))

    def evaluate(**options):
        loader = common.DataLoader(samples, batch_size=8, **options)
        judge = MetricEvaluator(ToyAdaptor(AdaptorContext("toy")), loader, ToyAccuracy)
        return judge.evaluate(model)

    return evaluate, data.inputs[:8]


def test_an_evaluation_times_its_predictions(evaluated):
    evaluate, batch = evaluated
    evaluation = evaluate()
    assert 0 < evaluation.batch_seconds.median(batch) < evaluation.seconds


def test_predictions_beside_threads_that_load_data_are_not_timed(evaluated):
    evaluate, _ = evaluated
    assert evaluate(num_workers=1).batch_seconds is None
