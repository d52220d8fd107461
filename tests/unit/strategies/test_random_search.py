from __future__ import annotations

import pytest

from inc_core.errors import ConfigError
from inc_core.strategies.random_search import RandomStrategy
from inc_core.testing.strategy_suite import StrategySuite, drive, sample_space


class TestRandom(StrategySuite):
    def make_strategy(self) -> RandomStrategy:
        return RandomStrategy()


def prints(**options):
    trials = drive(RandomStrategy(), sample_space(), lambda recipe: 0.1, **options)
    return [trial.recipe.fingerprint for trial in trials]


def test_no_recipe_comes_twice_and_the_default_comes_first():
    tried = prints()
    assert len(tried) == len(set(tried)) == 100
    assert tried[0] == sample_space().default().fingerprint


def test_another_seed_draws_others():
    assert set(prints(seed=1)) & set(prints(seed=2)) != set(prints(seed=1))


def test_width_changes_nothing_but_how_many_run_side_by_side():
    assert prints(width=4) == prints(width=1)


def test_every_choice_of_an_op_is_drawn_about_equally_often():
    trials = drive(RandomStrategy(1000), sample_space(), lambda recipe: 0.1)
    op = sample_space().ops[0]
    counts = [
        sum(trial.recipe.ops[op] == config for trial in trials)
        for config in sample_space().options(op)
    ]
    assert sum(counts) == 1000
    assert all(200 < count < 300 for count in counts)


@pytest.mark.parametrize("trials", [0, True, 2.5])
def test_trials_must_be_a_whole_number(trials):
    with pytest.raises(ConfigError, match=r"trials of 'random' must be a whole number > 0; rec"):
        RandomStrategy(trials)
