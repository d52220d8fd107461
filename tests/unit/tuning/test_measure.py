from __future__ import annotations

import itertools

import numpy as np

from inc_core.tuning.measure import MAX_RUNS, MIN_RUNS, ObjectiveRun, size_on_disk


def test_an_objective_can_predict_and_weigh_the_model(search):
    run = ObjectiveRun(search.adaptor, search.model, search.data.inputs, accuracy=0.5)
    expected = search.adaptor.predict(search.model, search.data.inputs)
    assert np.array_equal(run.predict(), expected)
    assert run.size_bytes() == size_on_disk(search.adaptor, search.model) > 6 * 16 * 16
    assert run.accuracy == 0.5


def latency(search, seconds):
    ticks = itertools.count()
    calls = []
    run = ObjectiveRun(
        search.adaptor, search.model, search.data.inputs, clock=lambda: next(ticks) * seconds
    )
    run._adaptor = type("Adaptor", (), {"predict": lambda self, *_: calls.append(1)})()
    return run.latency_seconds(), len(calls) - 1  # one run warms up


def test_latency_is_the_median_of_few_runs_where_they_are_slow(search):
    assert latency(search, 2.0) == (2.0, MIN_RUNS)


def test_latency_of_fast_runs_stops_at_a_number(search):
    seconds, runs = latency(search, 1e-6)
    assert runs == MAX_RUNS
    assert np.isclose(seconds, 1e-6)
