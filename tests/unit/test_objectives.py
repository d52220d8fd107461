"""The built-in objectives, each on what a run tells and on a toy model."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest

from inc_core import objectives
from inc_core.errors import EvaluationError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.objectives import Accuracy, Footprint, ModelSize, Performance
from inc_core.testing.toy import make_classifier
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.measure import ObjectiveRun

MB = 1_000_000


class Run:
    """What an objective can ask, with known answers."""

    def __init__(self, accuracy=0.75, batch_bytes=0, evaluated_seconds=None):
        self.accuracy = accuracy
        self.batch_bytes = batch_bytes
        self.predictions = 0
        self.evaluated_seconds = evaluated_seconds

    def predict(self):
        self.predictions += 1
        return float(np.ones(self.batch_bytes, np.uint8).sum())  # touches every page, then frees

    def size_bytes(self):
        return 3 * MB

    def latency_seconds(self):
        return 0.25


def test_accuracy_is_that_of_the_trial():
    assert Accuracy().measure(Run(0.75)) == 0.75


def test_accuracy_without_an_evaluation_says_what_is_missing():
    with pytest.raises(EvaluationError, match=r"'accuracy' needs an evaluation.*eval_func"):
        Accuracy().measure(Run(None))


def test_performance_is_the_latency_in_seconds():
    assert Performance().measure(Run()) == 0.25


def test_performance_is_taken_from_the_evaluation_where_that_was_timed():
    assert Performance().measure(Run(evaluated_seconds=0.5)) == 0.5


def test_model_size_is_in_mb():
    assert ModelSize().measure(Run()) == 3.0


def test_model_size_runs_no_batch():
    run = Run()
    ModelSize().measure(run)
    assert run.predictions == 0


def test_footprint_of_a_batch_that_takes_nothing_is_the_size():
    assert Footprint().measure(Run()) == pytest.approx(3.0, abs=1.0)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak cannot be reset")
def test_footprint_counts_native_memory_even_if_the_peak_was_higher_before():
    Run(batch_bytes=200 * MB).predict()
    assert Footprint().measure(Run(batch_bytes=100 * MB)) == pytest.approx(103, rel=0.1)


def test_footprint_without_proc_uses_the_peak_of_the_process(monkeypatch):
    peaks = iter([500 * MB, 540 * MB])
    monkeypatch.setattr(objectives, "_peak_bytes", lambda: next(peaks))
    assert Footprint().measure(Run()) == 43.0


def test_peak_of_rusage_is_that_of_proc():
    np.ones(300 * MB, np.uint8)  # a new peak: `footprint` may have reset that of /proc before
    assert objectives._peak_bytes_of_rusage() >= objectives._peak_bytes() * 0.9


def test_footprint_on_a_foreign_system_names_another_objective(monkeypatch):
    original = builtins.__import__

    def without_resource(name, *args, **kwargs):
        if name == "resource":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_resource)
    with pytest.raises(EvaluationError, match=r"cannot be measured on this.*modelsize"):
        objectives._peak_bytes_of_rusage()


@pytest.mark.parametrize(
    ("objective", "better", "needs_sample"),
    [
        (Accuracy, None, False),
        (Performance, False, True),
        (Footprint, False, True),
        (ModelSize, False, False),
    ],
    ids=["accuracy", "performance", "footprint", "modelsize"],
)
def test_direction_and_need_of_a_sample_are_stated(objective, better, needs_sample):
    assert objective.higher_is_better is better
    assert getattr(objective, "needs_sample", True) is needs_sample


@pytest.mark.parametrize("objective", [Accuracy, Performance, Footprint, ModelSize])
def test_a_toy_model_is_measured(objective):
    inputs = {"x": np.zeros((8, 16), np.float32)}
    run = ObjectiveRun(ToyAdaptor(AdaptorContext("toy")), make_classifier(), inputs, accuracy=0.5)
    assert 0 < objective().measure(run) < 1000
