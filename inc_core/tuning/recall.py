"""A runner that asks the cache first."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain

from inc_core.tuning.evaluate import Evaluation
from inc_core.tuning.job import TuningJob
from inc_core.tuning.results import Results
from inc_core.tuning.runner.contract import Ask, Outcome, Runner, Terms
from inc_core.tuning.trial import Trial
from inc_core.tuning.trial_run import failed_trial, measure_objectives, wants_objectives

__all__ = ["RecallingRunner"]


class RecallingRunner:
    """Gives the outcomes of another runner, without running what an earlier run evaluated.

    Outcomes and their order are those of the other runner. What accuracy alone does not decide, the
    objectives of an accepted trial, is measured now, on the same machine in the same state as the
    float model's.

    Args:
        runner: Runs what the cache does not have.
        results: The cache.
    """

    def __init__(self, runner: Runner, results: Results) -> None:
        self._runner = runner
        self._results = results

    def run(
        self, job: TuningJob, asks: Iterable[Ask], terms: Terms
    ) -> Generator[Outcome, None, None]:
        """Yield the outcome of each ask, in the order of asks."""
        asks = iter(asks)
        for ask in asks:
            found = self._find(ask, terms)
            if found is None:
                hit = yield from self._run(job, ask, asks, terms)
                if hit is None:
                    return
                ask, found = hit
            yield _outcome(job, ask, found, terms)

    def close(self) -> None:
        """Close the other runner."""
        self._runner.close()

    def _find(self, ask: Ask, terms: Terms) -> Evaluation | None:
        return self._results.find(ask.recipe.fingerprint, terms.gate_of(ask.gated))

    def _run(
        self, job: TuningJob, first: Ask, rest: Iterator[Ask], terms: Terms
    ) -> Generator[Outcome, None, tuple[Ask, Evaluation] | None]:
        """Run asks until one is in the cache; return that one."""
        hit: tuple[Ask, Evaluation] | None = None
        running: deque[Ask] = deque()

        def missing() -> Iterator[Ask]:
            nonlocal hit
            for ask in chain([first], rest):
                found = None if ask is first else self._find(ask, terms)
                if found is not None:
                    hit = ask, found
                    return
                running.append(ask)
                yield ask

        with closing(self._runner.run(job, missing(), terms)) as outcomes:
            for outcome in outcomes:
                self._keep(running.popleft(), outcome[0], terms)
                yield outcome
        return hit

    def _keep(self, ask: Ask, trial: Trial, terms: Terms) -> None:
        if trial.accuracy is not None and trial.status in ("ok", "rejected_early"):
            evaluation = Evaluation(
                trial.accuracy,
                trial.samples,
                trial.eval_seconds,
                stopped_early=trial.status == "rejected_early",
            )
            self._results.keep(ask.recipe.fingerprint, terms.gate_of(ask.gated), evaluation)


def _outcome(job: TuningJob, ask: Ask, found: Evaluation, terms: Terms) -> Outcome:
    start = job.clock()
    accepted = terms.criterion.accepts(found.accuracy) and not found.stopped_early
    objectives, built = {}, None
    if accepted and wants_objectives(job):
        try:
            built = job.builder.build(ask.recipe)
            objectives = measure_objectives(job, built[0], found.accuracy)
        except Exception as error:  # noqa: BLE001 - as in a trial that runs
            return failed_trial(ask.number, ask.recipe, error, job.clock() - start), None
    trial = Trial(
        number=ask.number,
        recipe=ask.recipe,
        accuracy=found.accuracy,
        accepted=accepted,
        objectives=objectives,
        status="rejected_early" if found.stopped_early else "ok",
        seconds=job.clock() - start,
        samples=found.samples,
        from_cache=True,
    )
    return trial, built
