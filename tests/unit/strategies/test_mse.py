from __future__ import annotations

import numpy as np

from inc_core.hookspecs.strategy import NoMeasurements, StrategyContext
from inc_core.quant.space import TuningSpace
from inc_core.strategies.basic import MAX_SCHEMES, RESTARTS
from inc_core.strategies.mse import MSEStrategy
from inc_core.testing.strategy_suite import BASELINE, StrategySuite, sample_space
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.trial import Trial


class TestMSEWithoutMeasurements(StrategySuite):
    def make_strategy(self) -> MSEStrategy:
        return MSEStrategy()

    def max_trials(self, space: TuningSpace) -> int:
        return MAX_SCHEMES + (2 + RESTARTS) * len(space.ops) + 1


class Measured(NoMeasurements):
    """Gives the sensitivity of each op by its name, whatever its config."""

    def __init__(self, values):
        self.values = values
        self.asked = 0

    def sensitivity(self):
        self.asked += 1
        space = sample_space()
        return {
            op: dict.fromkeys(space.options(op), self.values[op.name])
            for op in space.ops
            if op.name in self.values
        }


class WithMeasurements(MSEStrategy):
    def propose(self, space, context):
        measured = {op.name: 1.0 for op in space.ops}
        context = StrategyContext(**{**vars(context), "measure": Measured(measured)})
        return super().propose(space, context)


class TestMSEWithMeasurements(StrategySuite):
    def make_strategy(self) -> MSEStrategy:
        return WithMeasurements()

    def max_trials(self, space: TuningSpace) -> int:
        return MAX_SCHEMES + (1 + RESTARTS) * len(space.ops) + 1


def searched(measure, outcome):
    """Return the float ops of each trial behind the schemes, until one is accepted."""
    space, criterion = sample_space(), Criterion(BASELINE)
    context = StrategyContext(np.random.default_rng(0), BASELINE, criterion, measure=measure)
    proposals = MSEStrategy().propose(space, context)
    recipe, found, number = next(proposals), [], 0
    while True:
        number += 1
        accuracy = outcome(recipe)
        trial = Trial(number, recipe, accuracy=accuracy, accepted=criterion.accepts(accuracy))
        if measure.asked:
            found.append([op.name for op in space.ops if not recipe.ops[op].is_quantized])
        if trial.accepted:
            return found
        try:
            recipe = proposals.send(trial)
        except StopIteration:
            return found


def without(name):
    return lambda recipe: 0.1 if any(op.name == name for op in recipe.quantized_ops) else BASELINE


def test_the_most_sensitive_op_goes_back_first():
    values = {"op0": 0.1, "op1": 0.2, "op3": 9.0, "op4": 0.5, "op5": 0.3}
    assert searched(Measured(values), without("op3")) == [["op3"]]
    assert searched(Measured(values), without("op4")) == [["op3"], ["op3", "op4"]]


def test_it_is_measured_once_and_after_the_schemes():
    measure = Measured({"op3": 1.0})
    searched(measure, lambda recipe: 0.1)
    assert measure.asked == 1


def test_a_group_counts_as_its_most_sensitive_member_and_goes_back_as_one():
    measure = Measured({"op0": 1.0, "op1": 0.0, "op2": 2.0})
    assert searched(measure, without("op1"))[0] == ["op1", "op2"]


def test_a_config_that_was_not_measured_counts_as_one_of_its_mode():
    class OfOneConfig(Measured):
        def sensitivity(self):
            every = super().sensitivity()
            return {op: dict([list(values.items())[1]]) for op, values in every.items()}

    measure = OfOneConfig({"op0": 1.0, "op3": 9.0, "op4": 5.0})  # ``kl``; the default is ``minmax``
    assert searched(measure, without("op4")) == [["op3"], ["op3", "op4"]]


def test_what_cannot_be_built_goes_back_first_and_what_was_not_measured_last():
    measure = Measured({"op0": float("inf"), "op4": 3.0})
    assert searched(measure, without("op5"))[:3] == [["op0"], ["op0", "op4"], ["op0", "op4", "op5"]]


def test_lower_is_better_changes_nothing_in_the_order():
    measure = Measured({"op3": 9.0})
    space = sample_space()
    criterion = Criterion(BASELINE, higher_is_better=False)
    context = StrategyContext(np.random.default_rng(0), BASELINE, criterion, measure=measure)
    proposals = MSEStrategy().propose(space, context)
    recipe = next(proposals)
    number = 0
    while not measure.asked:
        number += 1
        # ever worse, so the first scheme stays the best
        recipe = proposals.send(Trial(number, recipe, accuracy=1.0 + number))
    changed = [op.name for op in space.ops if recipe.ops[op] != space.default().ops[op]]
    assert changed == ["op3"]
