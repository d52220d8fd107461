"""What the search asks of a runner, and what it is given back."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from inc_core.quant.recipe import Recipe
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.job import TuningJob
from inc_core.tuning.sequential import Gate
from inc_core.tuning.trial import Baseline, Trial
from inc_core.tuning.trial_run import Built

__all__ = ["Ask", "Outcome", "Runner", "Terms"]

# A trial, and the model it was about if this process has it.
Outcome: TypeAlias = tuple[Trial, Built | None]


class Ask(NamedTuple):
    """A recipe to be tried.

    Attributes:
        number: That its trial will have.
        recipe: What is tried.
        gated: Whether the evaluation may end early; else all samples are evaluated.
    """

    number: int
    recipe: Recipe
    gated: bool = True


@dataclass(frozen=True)
class Terms:
    """What every trial of a search is held against.

    Attributes:
        criterion: The goal.
        gate: When an evaluation may end early; ``None`` never.
        baseline: The float model's evaluation; its time bounds a trial's.
    """

    criterion: Criterion
    gate: Gate | None
    baseline: Baseline

    def gate_of(self, gated: bool) -> Gate | None:
        """Return the gate of one ask."""
        return self.gate if gated else None


class Runner(Protocol):
    """Runs trials; several side by side if it can. The outcomes never depend on how many."""

    def run(
        self, job: TuningJob, asks: Iterable[Ask], terms: Terms
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each ask, in the order of asks.

        An ask is taken from ``asks`` only when its trial starts. When the generator is closed, what
        still runs is dropped.

        Raises:
            CalibrationError, DataError: In trial 1, where it is the data's fault and no recipe's.
            EngineLostError: If the machines of trials are out of reach; ``paused`` ends the search.
        """

    def close(self) -> None:
        """Release everything; a later ``run`` starts afresh."""
