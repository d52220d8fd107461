"""Run a strategy on a simulated problem and count what it costs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from inc_core.errors import StrategyError
from inc_core.hookspecs.strategy import Strategy, StrategyContext
from inc_core.quant.recipe import Recipe
from inc_core.testing.simulator.costs import data_used
from inc_core.testing.simulator.measurements import SimulatedMeasurements
from inc_core.testing.simulator.problem import Array, Problem
from inc_core.testing.simulator.reference import optimum
from inc_core.tuning.trial import Trial

__all__ = ["SimulatedRun", "run_strategy"]

# of what is timed end to end; finalists are measured interleaved
END_TO_END_NOISE = 0.003

# of the logarithm of the excess over the goal that an early stopped evaluation reports
ESTIMATE_NOISE = 0.25


@dataclass(frozen=True)
class SimulatedRun:
    """What a strategy did with a problem.

    Attributes:
        trials: Every trial, in order.
        units: Evaluation data used in passes, measurements included, the float baseline not.
        first_units: The same up to and with the first accepted trial; ``None`` without one.
        first_share: The first accepted trial's saving as a share of the reference optimum.
        share: The same of the accepted trial that is fastest as measured; 0 without one.
        rounds: Proposals; side by side, a list counts once.
        accepted: Whether any trial was accepted.
        false_accepts: Accepted trials whose true loss on the evaluation set is too large.
        curve: ``(units, share of the best so far)`` after each accepted trial that is a new best.
        slowest_ask: CPU seconds of the strategy's slowest proposal, without simulated measurements.
    """

    trials: tuple[Trial, ...]
    units: float
    first_units: float | None
    first_share: float
    share: float
    rounds: int
    accepted: bool
    false_accepts: int
    curve: tuple[tuple[float, float], ...]
    slowest_ask: float


def run_strategy(
    strategy: Strategy,
    problem: Problem,
    *,
    seed: int = 0,
    width: int = 1,
    stop_at_first: bool = True,
    early_stop: bool = True,
    max_trials: int = 10_000,
    reference: float | None = None,
) -> SimulatedRun:
    """Let a strategy search on a problem.

    Args:
        strategy: What proposes.
        problem: Where.
        seed: Of the strategy's random generator.
        width: How many recipes it may propose side by side.
        stop_at_first: End at the first accepted trial (``timeout: 0``), unless the strategy has a
            stop rule of its own.
        early_stop: Whether evaluations that fail end early. Their accuracy is then an estimate.
        max_trials: End after so many trials in any case.
        reference: The optimum, where it is known; computed otherwise.

    Raises:
        StrategyError: If a proposal is not in the space.
    """
    run = _Run(problem, early_stop)
    context = StrategyContext(
        rng=np.random.default_rng(seed),
        baseline=problem.constants.accuracy,
        criterion=problem.criterion,
        width=width,
        stop_at_first=stop_at_first,
        measure=run.measure,
        evaluated_samples=problem.constants.samples,
    )
    ends_at_first = stop_at_first and not getattr(strategy, "own_stop_rule", False)
    proposals = strategy.propose(problem.space, context)
    answer: Trial | list[Trial] | None = None
    while len(run.trials) < max_trials:
        start = time.process_time() - run.measure.seconds
        try:
            proposal = next(proposals) if answer is None else proposals.send(answer)
        except StopIteration:
            break  # how a generator says that it has no more
        finally:
            run.slowest_ask = max(
                run.slowest_ask, time.process_time() - run.measure.seconds - start
            )
        batch = proposal if isinstance(proposal, list) else [proposal]
        told = [run.trial(recipe) for recipe in batch]
        run.rounds += 1
        if ends_at_first and any(trial.accepted for trial in told):
            break
        answer = told if isinstance(proposal, list) else told[0]
    proposals.close()
    return run.result(optimum(problem) if reference is None else reference)


class _Run:
    """Counts and remembers while a strategy is at work."""

    def __init__(self, problem: Problem, early_stop: bool) -> None:
        self.problem = problem
        self.early_stop = early_stop
        self.measure = SimulatedMeasurements(problem)
        self.trials: list[Trial] = []
        self.units = 0.0
        self.rounds = 0
        self.slowest_ask = 0.0
        self.false_accepts = 0
        self._known: dict[bytes, Trial] = {}
        self._best: Trial | None = None
        self._curve: list[tuple[float, float]] = []

    def trial(self, recipe: Recipe) -> Trial:
        number = len(self.trials) + 1
        try:
            vector = self.problem.vector(recipe)
        except KeyError as error:
            raise StrategyError(f"trial {number} is not in the space: {error}") from error
        key = vector.tobytes()
        if key in self._known:
            trial = replace(self._known[key], number=number, status="cached")
        else:
            trial = self._known[key] = self._evaluate(number, recipe, vector)
        self.trials.append(trial)
        self._note(trial, vector)
        return trial

    def _evaluate(self, number: int, recipe: Recipe, vector: Array) -> Trial:
        problem = self.problem
        allowed = 100.0 * problem.constants.tolerance
        loss = problem.loss(vector)
        share = data_used(loss, allowed) if self.early_stop else 1.0
        self.units += share
        if share < 1.0:
            seen = self._estimate(vector, loss, allowed)
            accuracy = problem.constants.accuracy * (1.0 - seen / 100.0)
            samples = int(share * problem.constants.samples)
            return Trial(number, recipe, accuracy, status="rejected_early", samples=samples)
        accuracy = problem.constants.accuracy * (1.0 - loss / 100.0)
        accepted = problem.criterion.accepts(accuracy)
        luck = float(problem.luck(vector[None], salt=8)[0])
        seconds = float(problem.times(vector[None])[0]) * (1.0 + END_TO_END_NOISE * luck)
        objectives = {"performance": seconds} if accepted else {}
        samples = problem.constants.samples
        return Trial(number, recipe, accuracy, accepted, objectives, samples=samples)

    def _estimate(self, vector: Array, loss: float, allowed: float) -> float:
        """Return the loss as it looks when the sequential test ends.

        It ends as soon as the excess over the goal is significant, so what is seen is the excess
        with a relative error, whatever the loss is.
        """
        luck = float(self.problem.luck(vector[None], salt=3)[0])
        return min(100.0, allowed + (loss - allowed) * float(np.exp(ESTIMATE_NOISE * luck)))

    def _note(self, trial: Trial, vector: Array) -> None:
        if not trial.accepted or trial.status == "cached" or self._is_float(vector):
            return
        self.false_accepts += not self.problem.fits(vector)
        if self._best is None or self._time(trial) < self._time(self._best):
            self._best = trial
            paid = self.units + self.measure.units
            self._curve.append((paid, self.problem.gain(vector)))

    def _is_float(self, vector: Array) -> bool:
        """Whether nothing was gained: the float model meets every goal."""
        return bool((vector == len(self.problem.choices) - 1).all())

    @staticmethod
    def _time(trial: Trial) -> float:
        return trial.objectives["performance"]

    def result(self, reference: float) -> SimulatedRun:
        scale = 1.0 / max(reference, 1e-12)
        curve = tuple((units, gain * scale) for units, gain in self._curve)
        return SimulatedRun(
            trials=tuple(self.trials),
            units=self.units + self.measure.units,
            first_units=curve[0][0] if curve else None,
            first_share=curve[0][1] if curve else 0.0,
            share=curve[-1][1] if curve else 0.0,
            rounds=self.rounds,
            accepted=bool(curve),
            false_accepts=self.false_accepts,
            curve=curve,
            slowest_ask=self.slowest_ask,
        )
