"""One search of ``frontier``: what it knows and what it does next."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from inc_core.hookspecs.strategy import Forecast, Proposals, StrategyContext
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.strategies.frontier.candidates import expected_improvement, pool
from inc_core.strategies.frontier.chain import chain_selections
from inc_core.strategies.frontier.climb import climb
from inc_core.strategies.frontier.finish import build_up
from inc_core.strategies.frontier.gains import Gains
from inc_core.strategies.frontier.hunt import hunt
from inc_core.strategies.frontier.loss import Link, LossModel
from inc_core.strategies.frontier.neighbours import all_selections
from inc_core.strategies.frontier.outlook import Outlook
from inc_core.strategies.frontier.prior import make_beliefs
from inc_core.strategies.frontier.schemes import alternatives, far_closer
from inc_core.strategies.frontier.sharpen import priorities, sharpen
from inc_core.strategies.frontier.variables import Variables

if TYPE_CHECKING:
    from inc_core.tuning.trial import Trial

__all__ = ["Effort", "Search"]

Array: TypeAlias = "np.ndarray[Any, Any]"
T = TypeVar("T")
Asking: TypeAlias = Generator["Recipe | list[Recipe]", "Trial | list[Trial]", T]

logger = logging.getLogger("inc_core.strategies")

PROBE_SAMPLES = 128  # as many as the runner keeps
LOOK_SAMPLES = 32  # enough to see what is three times as far off
PROBE_UNITS = 1.3  # of evaluations that probes of single ops may cost
MOST_PROBES = 100
USUAL_SAMPLES = 5_000  # of an evaluation, where nobody knows
WORTH_A_PROBE = 0.001  # of all that can be saved
MOVABLE = 60  # columns that a local search may change
HUNTS = 3
# side by side, by how much the goal is taken for tighter or looser: careful and daring ones in turn
SHIFTS = (0.0, -0.1, 0.1, -0.2, 0.2, -0.3, 0.3)
EXCESS = 0.6  # times the target: what a trial, or several, may lose more than expected unexplained
EARLY_ERROR = 0.25  # relative, of the excess over the goal that an early stop reports
# Times the allowed loss: other model-wide schemes are tried though nothing tells which is better.
BAD = 3.0
MUCH_BETTER = 0.7  # of the default's divergence: such a scheme is worth a trial
SCHEME_TRIALS = 2
# Evaluations that a search may take: more for more groups, until what one more can gain is below what
# it costs, however many groups there are.
UNITS_ALWAYS = 1.2
UNITS_PER_DOUBLING = 1.5
MOST_UNITS = 9.8
BLIND = 1.5  # times as many, where trials alone tell one op from another
MOST_ROUNDS = 3  # times the budget: a trial takes time although it ends early
ROOM = 0.1  # of the best saving: so much must be left for a search without a model to be worth it
WITHOUT_ANY = 10  # trials of the model's choice; then block by block


@dataclass(frozen=True)
class Effort:
    """How far a search goes.

    Attributes:
        scale: Of the number of trials.
        worth: Expected improvement, as a share of the best saving, below which it ends.
        patience: Trials in a row without an improvement after which it ends.
        left: Share of the best saving that is not worth another trial, even if it were certain.
        at_first: Whether it ends at the first accepted trial.
    """

    scale: float
    worth: float
    patience: int
    left: float = 0.01
    at_first: bool = False


class Search:
    """The state of one search.

    Args:
        space: What may be proposed.
        context: Criterion, randomness, width and measurements.
        effort: How far to go.
        budget: Rounds of trials; if 0, so many evaluations one after the other as the number of groups
            needs, of which one that ends early takes its share.
    """

    def __init__(
        self, space: TuningSpace, context: StrategyContext, effort: Effort, budget: int
    ) -> None:
        self.space = space
        self.context = context
        self.effort = effort
        self.link = Link(context.criterion)
        self.variables = Variables.of(space, space.default())
        size = max(2, len(self.variables.groups))
        units = min(MOST_UNITS, UNITS_ALWAYS + UNITS_PER_DOUBLING * math.log2(size))
        # several side by side tell more than one, though not as much as one after the other
        self.budget = budget or effort.scale * units / context.width**0.55
        self.in_trials = bool(budget)
        self.spent = 0.0
        self.everything = all_selections(self.variables.owner, len(self.variables.groups))
        self.tried: set[bytes] = set()
        self.best: Array | None = None
        self.best_gain = 0.0
        self.last_bad = math.inf
        self.hunts = 0
        self.excess = 0.0
        self.misses = 0.0
        self.residuals: list[float] = []

    def run(self) -> Proposals:
        """Yield proposals, receive trials, until nothing more is worth one."""
        if not self.variables.columns:
            yield self.space.all_float()
            return
        self.gains = Gains.measure(self.variables, self.context.measure)
        self.outlook = Outlook(self.link, self.gains)
        first = self._first()
        if self.link.is_tight:
            # the default often fails then, and too narrowly for its evaluation to end early
            apart = partial(self._apart, first, samples=LOOK_SAMPLES)
            self.variables = far_closer(self.space, self.variables, apart)
        value = yield from self._measured(first)
        if not self._done() and self.best is None:
            first, value = yield from self._better_scheme(first, value)
        if self._done() or self._nothing_left():
            if not self.context.stop_at_first:
                yield from self._other_modes()
            return
        sensitivity = self.context.measure.sensitivity()
        beliefs = make_beliefs(self.variables, first, value, self.link.target, sensitivity)
        self.beliefs = self.outlook.beliefs = beliefs
        if sensitivity is None:
            self.budget *= 1.0 if self.in_trials else BLIND
            self._hunt(first, value)
        yield from self._explore()
        self.outlook.trials_left = None
        if self.best is None or self._is_lost():
            yield from self._build_up()
        if self.best is None:
            yield self.space.all_float()

    def last_word(self) -> Forecast:
        """Return what was left when the search ended."""
        return self.outlook.of(None) if self.variables.columns else Forecast()

    def _first(self) -> Array:
        """Return the best choice of every group where it pays on this machine."""
        first = self.variables.first
        if len(self.gains.edges):
            only = replace(self.gains, alone=np.where(first, self.gains.alone, -1.0))
            paying = chain_selections(np.zeros(len(first)), only, np.zeros(1))[0]
        else:
            paying = first & (self.gains.alone > 0)
        return paying if paying.any() else first

    def _measured(self, selection: Array) -> Asking[float]:
        """Try a selection; return its linked loss."""
        (trial,) = yield from self._ask([selection])
        self._note(selection, trial)
        return self._value(trial)

    def _ask(self, selections: list[Array]) -> Asking[list[Trial]]:
        recipes = [self.variables.recipe(selection) for selection in selections]
        for selection, recipe in zip(selections, recipes, strict=True):
            self.context.foresee(recipe, self.outlook.of(selection))
            self.outlook.count_down()
        self.tried.update(selection.tobytes() for selection in selections)
        answer = yield recipes if self.context.width > 1 else recipes[0]
        return answer if isinstance(answer, list) else [answer]

    def _value(self, trial: Trial) -> float:
        if trial.accuracy is None:
            return self.link.worst
        return self.link(self.context.criterion.loss(trial.accuracy))

    def _note(self, selection: Array, trial: Trial) -> None:
        gain = float(self.gains.of(selection[None])[0])
        if trial.accepted and (self.best is None or gain > self.best_gain):
            self.best, self.best_gain, self.misses = selection, gain, 0.0
        elif self.best is not None:
            # side by side, later ones of a batch know nothing of the earlier ones
            self.misses += 2.5 / (1.5 + self.context.width)

    def _done(self) -> bool:
        return self.effort.at_first and self.best is not None

    def _nothing_left(self) -> bool:
        """Whether even the fastest selection is hardly faster than the best."""
        if self.best is None:
            return False
        return self.gains.most <= self.best_gain * (1.0 + self.effort.left)

    def _other_modes(self) -> Proposals:
        """Try dynamic for static and the like everywhere: where time is left, speed is measured."""
        kinds = dict.fromkeys(column.kind for column in self.variables.columns)
        for kind in kinds:
            same = np.array([column.kind == kind for column in self.variables.columns])
            if same.any() and same.tobytes() not in self.tried:
                yield from self._ask([same])

    def _better_scheme(self, first: Array, value: float) -> Asking[tuple[Array, float]]:
        """Look at other model-wide schemes; keep the one whose trial loses least.

        A scheme costs no speed, while ops in float do: it comes before the search among these.
        """
        others = alternatives(self.space, lambda: self.variables)
        other = next(others, None)
        least = None if other is None else self._divergence(first)
        if least is None and value <= BAD * self.link.target:
            return first, value
        tried = 0
        while other is not None and tried < SCHEME_TRIALS and self.best is None:
            found = self._apart(first, other)
            if least is None or (found is not None and found < MUCH_BETTER * least):
                least = found  # who is further off than what has just failed would fail, too
                tried += 1
                before, self.variables = self.variables, other
                self.tried.clear()  # a selection is another recipe now
                lost = yield from self._measured(first)
                if lost < value:
                    value = lost
                else:
                    self.variables = before
            other = next(others, None)
        self.tried = {first.tobytes()}
        return first, value

    def _divergence(self, selection: Array) -> float | None:
        return self._apart(selection, self.variables)

    def _apart(
        self, selection: Array, variables: Variables, samples: int = PROBE_SAMPLES
    ) -> float | None:
        """Return how far the outputs are from float under other model-wide choices."""
        return self.context.measure.divergence(variables.recipe(selection), samples)

    def _hunt(self, selection: Array, value: float) -> None:
        self.hunts += 1
        hunt(selection, value, self.beliefs, self._divergence, self.link.target)

    def _explore(self) -> Proposals:
        """Try what is expected to improve most, learn, until it is not worth a trial."""
        self.last_bad = math.inf
        rounds = 0
        while self.spent < self.budget and rounds < MOST_ROUNDS * self.budget:
            rounds += 1
            if rounds == 2:  # the first one often ends it
                self._sharpen()
            left = math.ceil(self.budget - self.spent)
            self.outlook.trials_left = self.context.width * left
            batch = self._choose()
            if not batch:
                return
            trials = yield from self._ask(batch)
            for selection, trial in zip(batch, trials, strict=True):
                self._learn(selection, trial)
            self.spent += max(self._cost(trial) for trial in trials)
            if self._done() or self._nothing_left() or self.misses >= self.effort.patience:
                return
            if self.best is None and rounds >= WITHOUT_ANY:
                return

    def _learn(self, selection: Array, trial: Trial) -> None:
        value, target = self._value(trial), self.link.target
        noise = EARLY_ERROR * (value - target) if trial.status == "rejected_early" else 0.0
        mean, deviation = self.beliefs.expected(selection)
        deviation = math.sqrt(deviation**2 + LossModel.own_variance(value) + noise**2)
        self.residuals.append((value - mean) / deviation)
        self._note(selection, trial)
        self.excess = 0.0 if trial.accepted else 0.5 * self.excess + value - mean
        if self.hunts < HUNTS and self._is_contradicted(value, mean):
            self._hunt(selection, value)
            self.last_bad, self.excess = value, 0.0
        self.beliefs.judge(selection, value, noise)
        self.beliefs.observe(selection, value, noise)

    def _cost(self, trial: Trial) -> float:
        """Return what a trial used up of the budget."""
        whole = self.context.evaluated_samples
        known = whole and trial.samples and not self.in_trials
        return min(1.0, trial.samples / whole) if known else 1.0

    def _is_contradicted(self, value: float, mean: float) -> bool:
        """Whether a loss, or a row of them, shows damage that the model does not know."""
        target = self.link.target
        if value > 1.2 * target and self.excess > EXCESS * target:
            return True
        if self.last_bad == math.inf:
            return value > 1.5 * target and value - mean > 0.5 * target
        return value > 1.5 * target and value > target + 0.4 * (self.last_bad - target)

    def _doubt(self) -> float:
        """Return how much more than expected recent trials deviated."""
        recent = self.residuals[-5:]
        if len(recent) < 2:
            return 1.0
        return float(np.clip(math.sqrt(np.mean(np.square(recent))), 1.0, 2.5))

    def _choose(self) -> list[Array]:
        """Return up to ``width`` selections; none if nothing is worth a trial."""
        chosen: list[Array] = []
        self.outlook.bound = self.best_gain
        for place in range(self.context.width):
            shift = SHIFTS[place % len(SHIFTS)] * self.link.target
            found = self._best_candidate(shift)
            if found is None:
                break
            chosen.append(found)
            self.tried.add(found.tobytes())
        return chosen

    def _best_candidate(self, shift: float) -> Array | None:
        candidates = self.everything
        if candidates is None:
            candidates = pool(self.beliefs, self.gains, self.link.target, self.best)
        candidates = candidates[[row.tobytes() not in self.tried for row in candidates]]
        if not len(candidates):
            return None
        expected = self._expected(candidates, shift)
        index = int(np.argmax(expected))
        if expected[index] <= self.effort.worth * max(self.best_gain, 0.0) or expected[index] <= 0:
            return None
        if self.everything is not None:
            return np.asarray(candidates[index])
        chosen = np.asarray(candidates[index])
        rank = self._priorities()
        columns = np.argsort(-rank, kind="stable")[:MOVABLE]
        columns = columns[rank[columns] > 0]
        moved = climb(
            chosen, self.variables.owner, columns, lambda rows: self._expected(rows, shift)
        )
        return chosen if moved.tobytes() in self.tried else moved

    def _priorities(self) -> Array:
        return priorities(self.beliefs.means, self.gains.alone, self.link.target)

    def _sharpen(self) -> None:
        """Probe the columns whose losses decide, as far as that costs little beside a trial."""
        samples = self.context.evaluated_samples or USUAL_SAMPLES
        most = min(MOST_PROBES, int(PROBE_UNITS * samples / PROBE_SAMPLES))
        rank = self._priorities()
        columns = np.argsort(-rank, kind="stable")[:most]
        worth = WORTH_A_PROBE * np.maximum(self.gains.alone, 0.0).sum()
        sharpen(self.beliefs, columns[rank[columns] > worth], self._divergence)

    def _expected(self, candidates: Array, shift: float = 0.0) -> Array:
        target = self.link.target + shift
        probability = self.beliefs.pass_probability(candidates, target, self._doubt())
        self.outlook.widen(candidates, probability)
        return expected_improvement(candidates, self.gains, probability, self.best_gain)

    def _is_lost(self) -> bool:
        """Whether the model was contradicted and sees nothing more, although there is budget left."""
        if self._done() or self.hunts == 0 or self.everything is not None:
            return False
        if self.spent >= self.budget:
            return False
        return self.gains.most > self.best_gain * (1.0 + ROOM)

    def _build_up(self) -> Proposals:
        """Find something that passes, if there is any; something better, while the budget lasts."""
        passed = self.best is not None
        start = np.zeros(len(self.variables.columns), bool) if self.best is None else self.best
        taken = np.isin(self.variables.owner, self.variables.owner[start])
        order = np.array([c for c in self._safest() if not taken[c]], dtype=np.intp)
        blocks = build_up(order, start, set(self.tried))
        try:
            selection = next(blocks)
            while not passed or self.spent < self.budget:
                (trial,) = yield from self._ask([selection])
                self._learn(selection, trial)
                self.spent += self._cost(trial)
                if self._done() or self._nothing_left():
                    return
                selection = blocks.send(trial)
        except StopIteration:
            return  # the blocks are through

    def _safest(self) -> Array:
        """Return each group's column of least loss per saving, the safest group first."""
        gains = np.maximum(self.gains.alone, 1e-9)
        ratio = self.beliefs.means / gains
        order = np.argsort(ratio, kind="stable")
        quantized = order[np.isin(order, np.flatnonzero(self.variables.is_quantized))]
        _, at = np.unique(self.variables.owner[quantized], return_index=True)
        return np.asarray(quantized[np.sort(at)])
