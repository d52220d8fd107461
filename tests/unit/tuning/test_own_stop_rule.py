"""Strategies that decide themselves what follows an accepted trial."""

from __future__ import annotations

from inc_core.config.types import ExitPolicyConfig
from inc_core.strategies.frontier import FrontierStrategy
from inc_core.tuning.job import WeightedObjective
from inc_core.tuning.loop import tune


class Three:
    """Proposes three recipes, all accepted."""

    def __init__(self, own_stop_rule):
        self.own_stop_rule = own_stop_rule

    def propose(self, space, context):
        recipe = space.all_float()
        yield recipe
        for op in space.ops[-2:]:
            recipe = recipe.with_op(op, space.options(op)[0])
            yield recipe


class QuantizedOps:
    """An objective that counts: the more ops in integers, the better."""

    higher_is_better = True
    needs_sample = False

    def __init__(self):
        self.values = iter(range(100))

    def measure(self, run):
        return float(next(self.values))


def test_without_one_the_first_accepted_trial_ends_the_search(search):
    result = tune(search.job(strategy=Three(False), exit_policy=ExitPolicyConfig(timeout=0)))
    assert len(result.trials) == 1
    assert result.stopped_by == "goal_met"


def test_with_one_the_search_goes_on_and_objectives_decide(search):
    objective = WeightedObjective("ops", QuantizedOps())
    result = tune(
        search.job(
            strategy=Three(True),
            exit_policy=ExitPolicyConfig(timeout=0),
            objectives=(objective,),
        )
    )
    assert len(result.trials) == 3
    assert result.stopped_by == "goal_met"
    assert "nothing more that is worth a trial" in result.message
    assert result.best is result.trials[-1]


def test_frontier_finds_the_layers_that_must_stay_float(search):
    result = tune(
        search.job(strategy=FrontierStrategy("max"), exit_policy=ExitPolicyConfig(timeout=0))
    )
    accepted = [trial.recipe for trial in result.trials if trial.accepted]
    fewest = min(
        ([op.name for op in r.ops if not r.ops[op].is_quantized] for r in accepted), key=len
    )
    assert fewest == ["fc1", "fc3"]
