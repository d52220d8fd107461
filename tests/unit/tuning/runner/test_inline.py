from __future__ import annotations

import logging
import time

from inc_core.tuning.criterion import Criterion
from inc_core.tuning.evaluate import FunctionEvaluator
from inc_core.tuning.runner import Ask, InlineRunner, Terms
from inc_core.tuning.trial import Baseline

TERMS = Terms(Criterion(0.8), None, Baseline(0.8))


def asks_of(space, taken):
    recipe = space.default()
    for number, op in enumerate(space.ops, 1):
        taken.append(number)
        yield Ask(number, recipe.with_op(op, space.fallback(op)))


def test_an_ask_is_taken_when_its_trial_starts(search):
    taken = []
    job = search.job(evaluator=FunctionEvaluator(lambda model: 0.8))
    outcomes = InlineRunner().run(job, asks_of(job.space, taken), TERMS)
    assert [next(outcomes)[0].number, next(outcomes)[0].number] == [1, 2]
    assert taken == [1, 2]


def test_the_model_comes_with_the_trial(search):
    job = search.job(evaluator=FunctionEvaluator(lambda model: 0.8))
    ((trial, built),) = InlineRunner().run(job, [Ask(1, job.space.default())], TERMS)
    assert trial.accepted
    assert search.adaptor.digest(built[0]) != search.adaptor.digest(job.model)


def test_beyond_the_limit_of_time_the_place_is_logged_and_the_trial_goes_on(search, caplog):
    def slow(model):
        end = time.monotonic() + 60
        while "has been running" not in caplog.text and time.monotonic() < end:
            time.sleep(0.01)
        return 0.8

    job = search.job(evaluator=FunctionEvaluator(slow))
    recipe = job.space.default()
    job.builder.keep(recipe, *job.builder.build(recipe))  # so that the time is spent in slow()
    with caplog.at_level(logging.WARNING):
        ((trial, _),) = InlineRunner(0.3).run(job, [Ask(1, recipe)], TERMS)
    assert trial.status == "ok"
    assert "trial 1 has been running for 0.3 s" in caplog.text
    assert "in slow" in caplog.text
