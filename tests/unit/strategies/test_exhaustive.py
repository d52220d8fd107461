from __future__ import annotations

import logging

import pytest

from inc_core.errors import ConfigError
from inc_core.quant.space import TuningSpace
from inc_core.strategies.enumeration import RecipeNumbers
from inc_core.strategies.exhaustive import ExhaustiveStrategy
from inc_core.testing.strategy_suite import StrategySuite, drive, sample_space

TRIALS = 2000


class TestExhaustive(StrategySuite):
    def make_strategy(self) -> ExhaustiveStrategy:
        return ExhaustiveStrategy(TRIALS)

    def max_trials(self, space: TuningSpace) -> int:
        return TRIALS


def test_every_recipe_is_tried_once():
    space = sample_space(3)
    trials = drive(ExhaustiveStrategy(), space, lambda recipe: 0.1)
    assert len(trials) == RecipeNumbers(space).size
    assert len({trial.recipe.fingerprint for trial in trials}) == len(trials)


def test_the_best_recipe_is_found_where_the_goal_is_not_the_first_accepted():
    space = sample_space(3)
    worth = {recipe: 0.7 + len(recipe.quantized_ops) / 100 for recipe in _all(space)}
    trials = drive(ExhaustiveStrategy(), space, worth.__getitem__, stop_at_first=False)
    assert max(trial.accuracy for trial in trials) == max(worth.values())


def test_a_space_that_is_too_large_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        trials = drive(ExhaustiveStrategy(50), sample_space(), lambda recipe: 0.1)
    assert len(trials) == 50
    assert "exhaustive tries 50 of 2.05e+03 recipes" in caplog.text


def test_trials_must_be_a_whole_number():
    with pytest.raises(ConfigError, match="trials of 'exhaustive' must be a whole number > 0"):
        ExhaustiveStrategy(-1)


def _all(space):
    numbers = RecipeNumbers(space)
    return [numbers.recipe(k) for k in range(numbers.size)]
