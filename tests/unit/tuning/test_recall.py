from __future__ import annotations

import pytest

from inc_core.config.types import ExitPolicyConfig
from inc_core.tuning.evaluate import Evaluation, FunctionEvaluator
from inc_core.tuning.loop import tune
from inc_core.tuning.recall import RecallingRunner
from inc_core.tuning.runner import InlineRunner
from inc_core.tuning.trial import Baseline


class Known:
    """Results of some recipes; keeps what it is given."""

    def __init__(self, *recipes, accuracy=0.1):
        self.known = {r.fingerprint: Evaluation(accuracy, 10, 1.0) for r in recipes}
        self.kept = []

    def find(self, recipe, gate):
        return self.known.get(recipe)

    def keep(self, recipe, gate, evaluation):
        self.kept.append((recipe, evaluation))

    def commit(self):
        pass

    def baseline(self):
        return None

    def keep_baseline(self, evaluation):
        pass


class OneList:
    def __init__(self, recipes):
        self.recipes = recipes

    def propose(self, space, context):
        yield self.recipes


@pytest.fixture
def ladder(search):
    space = search.space()
    recipes = [space.default()]
    for op in space.ops:
        recipes.append(recipes[-1].with_op(op, space.fallback(op)))
    return recipes


def run(search, recipes, known, evaluated, **changes):
    def evaluate(model):
        evaluated.append(model)
        return 0.8 if model is search.model else 0.2

    job = search.job(
        strategy=OneList(recipes),
        evaluator=FunctionEvaluator(evaluate),
        results=known,
        runner=RecallingRunner(InlineRunner(), known),
        **changes,
    )
    return tune(job)


@pytest.mark.parametrize("hits", [(), (0,), (2,), (0, 1), (1, 3, 4), (6,), range(7)], ids=str)
def test_outcomes_come_in_the_order_of_asks_wherever_they_are_from(search, ladder, hits):
    evaluated = []
    known = Known(*(ladder[n] for n in hits))
    result = run(search, ladder, known, evaluated)
    assert [trial.recipe for trial in result.trials] == ladder
    assert [trial.number for trial in result.trials] == list(range(1, 8))
    assert [trial.from_cache for trial in result.trials] == [n in hits for n in range(7)]
    assert [trial.accuracy for trial in result.trials] == [
        0.1 if n in hits else 0.2 for n in range(7)
    ]
    assert len(evaluated) == 1 + 7 - len(hits)
    assert [recipe for recipe, _ in known.kept] == [
        ladder[n].fingerprint for n in range(7) if n not in hits
    ]


def test_a_known_trial_that_ends_the_search_starts_nothing_behind_it(search, ladder):
    evaluated = []
    result = run(search, ladder, Known(ladder[1], accuracy=0.8), evaluated)
    assert result.best.number == 2
    assert len(evaluated) == 1 + 1


def test_the_best_of_an_earlier_run_is_built_when_it_is_needed(search, ladder):
    known = Known(ladder[0], accuracy=0.8)
    result = run(search, ladder, known, [], exit_policy=ExitPolicyConfig(timeout=0))
    assert result.best.from_cache
    assert search.adaptor.quantized == 0


def test_known_trials_do_not_tell_how_long_a_trial_takes(search, ladder):
    known = Known(*ladder[:5])
    result = run(search, ladder, known, [], exit_policy=ExitPolicyConfig(timeout=3600))
    assert len(result.trials) == 7
    assert result.seconds < 3600
    assert result.samples == 0


def test_a_float_model_of_an_earlier_run_takes_no_time_of_this_one(search, ladder):
    known = Known(*ladder)
    known.baseline = lambda: Evaluation(0.8, 50, 1e6)
    evaluated = []
    result = run(search, ladder, known, evaluated, exit_policy=ExitPolicyConfig(timeout=3600))
    assert result.baseline == Baseline(0.8, seconds=1e6, samples=50, from_cache=True)
    assert len(result.trials) == 7
    assert evaluated == []
