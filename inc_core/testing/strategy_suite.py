"""What every strategy must do, as pytest tests that its author inherits."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from inc_core.hookspecs.strategy import Strategy, StrategyContext
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.membership import outside_of
from inc_core.tuning.trial import Trial

__all__ = ["Outcome", "StrategySuite", "drive", "sample_space"]

Outcome: TypeAlias = Callable[[Recipe], "float | None"]

BASELINE = 0.8


def sample_space(ops: int = 6) -> TuningSpace:
    """Return a space with two op types, a group, three modes, two sizes and two option sets.

    ``Conv`` ops offer static (two algorithms) and dynamic, ``Add`` ops one static config; ``op1``
    and ``op2`` are one group, and one more op, ``softmax``, is float only.
    """
    int8 = TensorSpec("int8", granularity="per_channel")
    static = [
        OpConfig("static", TensorSpec("uint8", "asym", algorithm=name), int8)
        for name in ("minmax", "kl")
    ]
    dynamic = OpConfig("dynamic", TensorSpec("uint8", "asym"), int8)
    plain = OpConfig("static", TensorSpec("uint8", "asym"))
    capabilities = [
        OpCapability(
            OpKey(f"op{index}", "Add" if index % 3 == 2 else "Conv"),
            (plain, FP32) if index % 3 == 2 else (*static, dynamic, FP32),
            group="pair" if index in (1, 2) else None,
        )
        for index in range(ops)
    ]
    softmax = OpCapability(OpKey("softmax", "Softmax"), (FP32,), note="no integer kernel")
    return TuningSpace(
        (*capabilities, softmax),
        calib_samples=(100, 200),
        option_sets=((), ("cross_layer_equalization",)),
    )


def drive(
    strategy: Strategy,
    space: TuningSpace,
    outcome: Outcome,
    *,
    seed: int = 0,
    width: int = 1,
    stop_at_first: bool = True,
    limit: int = 100_000,
) -> list[Trial]:
    """Run a strategy against a function in place of models, and return the trials.

    Args:
        strategy: What proposes.
        space: Where.
        outcome: Accuracy of a recipe, or ``None`` for a trial that fails; the baseline is 0.8 and
            1 % relative loss is accepted.
        seed: Of the strategy's generator.
        width: How many recipes it may propose side by side.
        stop_at_first: Whether the first accepted trial ends the search.
        limit: Trials after which it ends in any case.
    """
    criterion = Criterion(BASELINE)
    context = StrategyContext(
        rng=np.random.default_rng(seed),
        baseline=BASELINE,
        criterion=criterion,
        width=width,
        stop_at_first=stop_at_first,
    )
    trials: list[Trial] = []
    proposals = strategy.propose(space, context)
    answer: Trial | list[Trial] | None = None
    try:
        while len(trials) < limit:
            proposal = next(proposals) if answer is None else proposals.send(answer)
            batch = proposal if isinstance(proposal, list) else [proposal]
            told = [
                _trial(len(trials) + k, recipe, outcome, criterion)
                for k, recipe in enumerate(batch, start=1)
            ]
            trials += told
            if stop_at_first and any(trial.accepted for trial in told):
                break
            answer = told if isinstance(proposal, list) else told[0]
    except StopIteration:
        pass  # how a generator says that it has no more
    proposals.close()
    return trials


def _trial(number: int, recipe: Recipe, outcome: Outcome, criterion: Criterion) -> Trial:
    accuracy = outcome(recipe)
    if accuracy is None:
        return Trial(number, recipe, status="failed", error="ValueError: it is broken")
    return Trial(number, recipe, accuracy=accuracy, accepted=criterion.accepts(accuracy))


class StrategySuite:
    """Inherit, give the strategy, and pytest runs every test.

    Example::

        class TestOneByOne(StrategySuite):
            def make_strategy(self):
                return OneByOne()
    """

    def make_strategy(self) -> Strategy:
        """Return a new instance of the strategy under test."""
        # not an abstract method: pytest passes over abstract classes without a word
        raise NotImplementedError("override `make_strategy`")

    def max_trials(self, space: TuningSpace) -> int:
        """Return how many trials an impossible problem may take at most."""
        return 100 + 2 * len(space.ops) ** 2

    def test_the_same_seed_gives_the_same_sequence(self) -> None:
        """Proposals depend on nothing but problem, seed, width and outcomes."""
        first, second = (self._fingerprints(_damaged_by("op3"), seed=7) for _ in range(2))
        assert first == second

    def test_global_random_state_is_neither_read_nor_changed(self) -> None:
        """``context.rng`` is the only source of randomness."""
        before = pickle.dumps(np.random.get_state())
        first = self._fingerprints(_damaged_by("op3"))
        assert pickle.dumps(np.random.get_state()) == before
        np.random.random()
        assert self._fingerprints(_damaged_by("op3")) == first

    def test_told_the_same_outcomes_again_it_proposes_the_same(self) -> None:
        """So a journal can be replayed, and the search goes on where it was killed."""
        whole = self._drive(_damaged_by("op0"))
        told = {trial.recipe.fingerprint: trial.accuracy for trial in whole[: len(whole) // 2]}
        outcome = _damaged_by("op0")
        resumed = self._drive(lambda recipe: told.get(recipe.fingerprint, outcome(recipe)))
        assert _prints(resumed) == _prints(whole)

    def test_every_recipe_is_in_the_space(self) -> None:
        """Options of other ops, unknown option sets and half-quantized groups are no recipes."""
        for width in (1, 3):
            for trial in self._drive(lambda recipe: 0.1, width=width):
                assert outside_of(sample_space(), trial.recipe) == ""

    def test_a_good_default_is_found_at_once(self) -> None:
        """Where everything is accepted, nothing else need be tried before."""
        assert len(self._drive(lambda recipe: BASELINE)) <= 2

    def test_float_is_among_the_choices_of_every_op(self) -> None:
        """Whichever op spoils the result, the search gives it back to float."""
        for op in sample_space().ops:
            trials = self._drive(_damaged_by(op.name))
            assert trials[-1].accepted, f"{op.name} was never float"
            assert not trials[-1].recipe.ops[op].is_quantized

    def test_something_stays_quantized_where_one_op_is_at_fault(self) -> None:
        """The float model is no answer as long as there is a better one."""
        for op in sample_space().ops:
            assert self._drive(_damaged_by(op.name))[-1].recipe.quantized_ops

    def test_failed_trials_are_survived(self) -> None:
        """A failed trial has no accuracy; the search goes on and finds what works."""
        trials = self._drive(lambda r: None if _quantized(r, "op4") else BASELINE)
        assert trials[-1].accepted

    def test_it_ends_when_every_trial_fails(self) -> None:
        """Without an exception, and within the bound."""
        assert len(self._drive(lambda recipe: None)) <= self.max_trials(sample_space())

    def test_it_ends_on_an_impossible_problem(self) -> None:
        """Without an exception, and within the bound."""
        for ops in (1, 6, 15):
            space = sample_space(ops)
            limit = self.max_trials(space)
            trials = drive(self.make_strategy(), space, lambda r: 0.1, limit=limit + 1)
            assert 0 < len(trials) <= limit

    def test_a_space_without_quantized_options_ends(self) -> None:
        """There is nothing to search for; an exception would hide that."""
        space = TuningSpace((OpCapability(OpKey("softmax", "Softmax"), (FP32,)),))
        assert len(drive(self.make_strategy(), space, lambda r: 0.1)) <= self.max_trials(space)

    def test_it_goes_on_after_an_accepted_trial_when_asked_to(self) -> None:
        """``timeout`` above 0: the best of the time given is wanted, not the first."""
        limit = self.max_trials(sample_space())
        trials = self._drive(lambda r: BASELINE, stop_at_first=False, limit=limit + 1)
        assert 1 < len(trials) <= limit

    def test_lists_are_told_as_lists(self) -> None:
        """With a width above 1 the search may propose lists, and ends as well."""
        trials = self._drive(_damaged_by("op3"), width=4)
        assert any(trial.accepted for trial in trials)

    def _drive(
        self,
        outcome: Outcome,
        *,
        seed: int = 0,
        width: int = 1,
        stop_at_first: bool = True,
        limit: int = 10_000,
    ) -> list[Trial]:
        return drive(
            self.make_strategy(),
            sample_space(),
            outcome,
            seed=seed,
            width=width,
            stop_at_first=stop_at_first,
            limit=limit,
        )

    def _fingerprints(self, outcome: Outcome, *, seed: int = 0) -> list[str]:
        return _prints(self._drive(outcome, seed=seed))


def _prints(trials: Sequence[Trial]) -> list[str]:
    return [trial.recipe.fingerprint for trial in trials]


def _quantized(recipe: Recipe, name: str) -> bool:
    return any(op.name == name for op in recipe.quantized_ops)


def _damaged_by(name: str) -> Outcome:
    """Return an outcome in which one op alone costs too much, the others next to nothing."""

    def outcome(recipe: Recipe) -> float:
        rest = sum(op.name != name for op in recipe.quantized_ops)
        return BASELINE - 0.0001 * rest - (0.3 if _quantized(recipe, name) else 0.0)

    return outcome
