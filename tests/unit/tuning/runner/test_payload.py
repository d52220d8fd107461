from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from inc_core.errors import ConfigError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.spec import OpConfig
from inc_core.testing.toy import ToyAccuracy
from inc_core.testing.toy.adaptor import ToyAdaptor
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.evaluate import FunctionEvaluator, MetricEvaluator
from inc_core.tuning.job import TuningJob
from inc_core.tuning.runner import Terms
from inc_core.tuning.runner.bundle import UNFINISHED
from inc_core.tuning.runner.payload import (
    START,
    read_job,
    write_calibration,
    write_job,
    write_start,
)
from inc_core.tuning.trial import Baseline

TERMS = Terms(Criterion(0.8), None, Baseline(0.8, seconds=2.0))


@pytest.fixture
def make_job(search):
    """A job on the plain toy adaptor, whose class other processes can import."""

    def make(**changes):
        adaptor = ToyAdaptor(AdaptorContext("toy"))
        evaluator = MetricEvaluator(adaptor, search.batches, ToyAccuracy, watch=lambda it: it)
        pieces = {
            "adaptor": adaptor, "model": search.model, "space": search.space(), "strategy": None,
            "calibrate": search.calibrate, "evaluator": evaluator, **changes,
        }  # fmt: skip
        return TuningJob(**pieces)

    return make


def test_the_same_job_comes_out(make_job, tmp_path):
    job = make_job()
    write_job(tmp_path, job, TERMS)
    write_start(tmp_path, threads=3)
    recipe = job.space.default()
    model, calibration = job.builder.build(recipe)
    write_calibration(tmp_path, recipe, calibration)
    read, terms = read_job(tmp_path)
    assert terms == TERMS
    assert read.adaptor.context.threads == 3
    assert read.evaluator.adaptor is read.adaptor
    built, ranges = read.builder.build(recipe)
    assert read.adaptor.digest(built) == job.adaptor.digest(model)
    assert dict(ranges.used).keys() == dict(calibration.used).keys()
    assert read.evaluator.evaluate(built).accuracy == job.evaluator.evaluate(model).accuracy


def test_calibration_is_written_once_per_option_set_and_size(make_job, tmp_path):
    job = make_job()
    recipe = job.space.default()
    for _ in range(2):
        write_calibration(tmp_path, recipe, job.builder.calibration(recipe))
    (path,) = tmp_path.iterdir()
    assert str(recipe.calib_samples) in path.name


def test_samples_are_written_once_and_only_for_recipes_that_read_them(make_job, search, tmp_path):
    job = make_job()
    write_job(tmp_path, job, TERMS)
    write_start(tmp_path, 0)
    plain = job.space.default()
    write_calibration(tmp_path, plain, job.builder.calibration(plain))
    assert not list(tmp_path.glob("samples-*"))
    op = next(iter(job.space.ops))
    weight = replace(plain.ops[op].weight, algorithm="gptq")
    reading = plain.with_op(op, OpConfig("weight_only", weight=weight, reads_inputs=True))
    for _ in range(2):
        write_calibration(tmp_path, reading, job.builder.calibration(reading))
    (path,) = tmp_path.glob("samples-*")
    assert str(plain.calib_samples) in path.name
    assert not list(tmp_path.glob(f"{UNFINISHED}*"))
    received = read_job(tmp_path)[0].builder.calibration(reading)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate(list(received.inputs())), search.data.inputs)


def test_recipes_without_static_ops_need_none(make_job, tmp_path):
    job = make_job()
    recipe = job.space.all_float()
    write_calibration(tmp_path, recipe, job.builder.calibration(recipe))
    assert not list(tmp_path.iterdir())


def test_modules_travel_by_name(make_job, tmp_path):
    job = make_job(evaluator=FunctionEvaluator(SimpleNamespace))
    job.evaluator.present = SimpleNamespace(module=json)
    write_job(tmp_path, job, TERMS)
    write_start(tmp_path, 0)
    assert read_job(tmp_path)[0].evaluator.present.module is json


def test_what_cannot_be_sent_is_named_with_the_remedy(make_job, tmp_path):
    job = make_job(evaluator=FunctionEvaluator(lambda model: 0.8))
    with pytest.raises(ConfigError, match=r"lambda.*at the top level of a module.*name: inline"):
        write_job(tmp_path, job, TERMS)


def test_an_interactive_session_is_told_to_use_a_module(make_job, tmp_path, monkeypatch):
    typed_in = type("TypedIn", (ToyAccuracy,), {"__module__": "__main__"})
    main = SimpleNamespace(TypedIn=typed_in, __spec__=None)
    monkeypatch.setitem(sys.modules, "__main__", main)
    job = make_job()
    job.evaluator.metric = typed_in
    write_job(tmp_path, job, TERMS)
    with pytest.raises(ConfigError, match=r"interactive session. Move metric, .* into a module"):
        write_start(tmp_path, 0)


def test_children_know_their_parent_and_its_import_path(make_job, tmp_path):
    write_job(tmp_path, make_job(), TERMS)
    write_start(tmp_path, 2)
    start = json.loads((tmp_path / START).read_text())
    assert start == {"path": sys.path, "parent": os.getpid(), "main": {}, "threads": 2}
