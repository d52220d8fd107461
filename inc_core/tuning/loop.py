"""The search: the strategy proposes, trials run, the policy decides, the journal remembers."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from inc_core.errors import EngineLostError, EvaluationError, IncError
from inc_core.hookspecs.objective import Objective
from inc_core.hookspecs.strategy import Proposals, StrategyContext
from inc_core.quant.recipe import Recipe
from inc_core.tuning.checks import Scores
from inc_core.tuning.conversion import convert_once
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.early_stop import make_gate, wants_scores
from inc_core.tuning.evaluate import Evaluation
from inc_core.tuning.finalists import finalists, refined
from inc_core.tuning.goal import warn_of_goal
from inc_core.tuning.history import History
from inc_core.tuning.integrity import FloatModelGuard
from inc_core.tuning.job import TuningJob
from inc_core.tuning.lines import (
    baseline_line,
    detail_lines,
    noise_line,
    standing,
    stop_lines,
    trial_line,
)
from inc_core.tuning.measurements import JobMeasurements, samples_of_evaluation
from inc_core.tuning.noise import margin_of, measure_noise
from inc_core.tuning.policy import Ranking, Stop, Stopping
from inc_core.tuning.proposals import Forecasts, check_in_space, check_recipes, next_proposal
from inc_core.tuning.runner import Ask, InlineRunner, Outcome, Runner, Terms
from inc_core.tuning.sequential import Gate
from inc_core.tuning.signals import StopSignals
from inc_core.tuning.speed import seconds_for
from inc_core.tuning.trial import Baseline, Trial, TuningResult
from inc_core.tuning.trial_run import Built, describe_error, measure_objectives

__all__ = ["resolve_direction", "tune"]

logger = logging.getLogger("inc_core.tuning")

INTERRUPTED = Stop("interrupted", "stopped by a signal; the best so far is returned")


def tune(job: TuningJob) -> TuningResult:
    """Search until the exit policy, the strategy or a signal ends it.

    Trials that the journal holds are replayed, not run. A failing trial is a result; the search
    goes on. The best trial's model is kept in ``job.builder``.

    Raises:
        EvaluationError: If the float baseline cannot be evaluated, or three different recipes in
            a row failed alike before any was accepted.
        StrategyError: If the strategy proposes what is not in the space, or raises.
        KeyboardInterrupt: If a signal came before the baseline was known.
    """
    with StopSignals() as signals, closing(job.runner or InlineRunner()) as runner:
        result = _Search(job, signals, runner).run() if job.evaluates else convert_once(job)
    job.journal.append(
        "stopped", reason=result.stopped_by, message=result.message, bound=result.bound
    )
    job.emit("inc_tuning_finished", result=result)
    _raise_if_nothing_works(result)
    return result


def resolve_direction(job: TuningJob) -> bool:
    """Return whether a higher metric is better: the user's word, else the metric's, else true."""
    stated = job.criterion.higher_is_better
    if stated is None:
        stated = getattr(job.evaluator, "higher_is_better", None)
    return True if stated is None else bool(stated)


class _Search:
    """The state of one search; lives as long as ``tune``."""

    def __init__(self, job: TuningJob, signals: StopSignals, runner: Runner) -> None:
        self.job = job
        self.signals = signals
        self.history = History(job.journal)
        own_stop_rule = getattr(job.strategy, "own_stop_rule", False)
        self.stopping = Stopping(job.exit_policy, own_stop_rule)
        self.trials: list[Trial] = []
        self.best: Trial | None = None
        self.gate: Gate | None = None
        self.runner = runner
        self.halted: Stop | None = None  # why the rest of a proposal was not started
        self.forecasts = Forecasts()
        ranks = getattr(job.strategy, "needs_exact_accuracy", False)
        self.may_stop_early = job.early_stop and not ranks
        self.guard = FloatModelGuard(job)
        self.elapsed_before = 0.0  # of replayed trials: a resumed search has one time budget
        self.started = job.clock()

    def run(self) -> TuningResult:
        job = self.job
        self.baseline, scores = self._baseline()
        assert self.baseline.accuracy is not None
        self.criterion = Criterion(
            baseline=self.baseline.accuracy,
            tolerance=job.criterion.tolerance,
            relative=job.criterion.relative,
            higher_is_better=resolve_direction(job),
            margin=margin_of(self.baseline.noise),
        )
        warn_of_goal(self.criterion, job.evaluator)
        self.history.set_goal(self.criterion, job.exit_policy)
        if self.may_stop_early:
            self.gate = make_gate(job.evaluator, self.criterion, self.baseline, scores)
        entries = job.objectives
        self.ranking = Ranking(
            criterion=self.criterion,
            baseline=self.baseline.objectives,
            weights={entry.name: entry.weight for entry in entries},
            higher_is_better={entry.name: self._direction(entry.objective) for entry in entries},
        )
        job.emit("inc_tuning_started", space=job.space, baseline=self.baseline.accuracy)
        job.say(baseline_line(self.baseline))
        if self.baseline.noise:
            job.say(noise_line(self.baseline, self.criterion))
        self.signals.patient = True
        try:
            stop = self._confirmed(self._explore())
            self._compare_finalists(stop)
        except KeyboardInterrupt:
            # at once: the running trial is lost, what is finished counts
            stop = INTERRUPTED
        except EngineLostError as error:
            if not error.paused:
                raise
            stop = Stop("interrupted", str(error))
        self.guard.check()
        result = self._result(stop)
        for line in stop_lines(result, self.criterion):
            job.say(line)
        return result

    def _direction(self, objective: Objective) -> bool:
        """Return an objective's direction; one that states ``None``, as accuracy, has the metric's."""
        stated = getattr(objective, "higher_is_better", False)
        return self.criterion.higher_is_better if stated is None else bool(stated)

    def _baseline(self) -> tuple[Baseline, Scores | None]:
        """Return the float model's evaluation and, for early stopping, each sample's score."""
        known, scores = self.history.baseline(), self.history.scores()
        wanted = self.may_stop_early and wants_scores(self.job.evaluator)
        if known is not None and (scores is not None or not wanted):
            self._spent_before(known)
            return known, scores
        evaluation, noise, from_cache = self._float_evaluation()
        if wanted:
            # data without scores is journaled as such, so that nobody looks again
            scores = np.empty(0) if evaluation.scores is None else evaluation.scores
            self.history.add_scores(scores)
        if known is not None:  # the journal lost the scores alone
            self._spent_before(known)
            return known, scores
        with self.job.console.doing("timing the float model"):
            objectives = measure_objectives(
                self.job, self.job.float_model, evaluation.accuracy, evaluation.batch_seconds
            )
        baseline = Baseline(
            accuracy=evaluation.accuracy,
            objectives=objectives,
            seconds=evaluation.seconds,
            samples=evaluation.samples,
            from_cache=from_cache,
            noise=noise,
        )
        self.history.add_baseline(baseline)
        return baseline, scores

    def _spent_before(self, baseline: Baseline) -> None:
        self.elapsed_before += 0.0 if baseline.from_cache else baseline.seconds

    def _float_evaluation(self) -> tuple[Evaluation, float, bool]:
        """Return the float model's evaluation, its noise, and whether an earlier run made it."""
        results = self.job.results
        found = None if results is None else results.baseline()
        if found is not None:
            return found, 0.0, True
        evaluation, noise = self._evaluate_float()
        if results is not None and noise:
            results.distrust()
        elif results is not None:
            results.keep_baseline(evaluation)
        return evaluation, noise, False

    def _evaluate_float(self) -> tuple[Evaluation, float]:
        job = self.job
        assert job.evaluator is not None
        try:
            with job.console.doing("the float model"):
                found = job.evaluator.evaluate(job.float_model)
                return found, measure_noise(job.evaluator, job.float_model, found, job.noise_check)
        except IncError:
            raise
        except Exception as error:  # user code: whatever it raises ends the run
            hint = "Nothing was quantized yet: check evaluation data, model, and metric (given numpy arrays)."
            message = f"the float model cannot be evaluated: {describe_error(error)}. {hint}"
            raise EvaluationError(message) from error

    def _explore(self) -> Stop:
        job = self.job
        context = StrategyContext(
            rng=np.random.default_rng(job.seed),
            baseline=self.criterion.baseline,
            criterion=self.criterion,
            width=job.width,
            stop_at_first=job.exit_policy.timeout == 0,
            measure=JobMeasurements(job, samples_of_evaluation(job, self.baseline)),
            foresee=self.forecasts.foresee,
            evaluated_samples=self.baseline.samples,
        )
        proposals = job.strategy.propose(job.space, context)
        try:
            return self._follow(proposals)
        finally:
            proposals.close()

    def _follow(self, proposals: Proposals) -> Stop:
        answer: Trial | list[Trial] | None = None
        while True:
            with self.job.console.doing("choosing what to try"):
                proposal = next_proposal(proposals, answer)
            if proposal is None and self.best is not None and self.stopping.own_stop_rule:
                return Stop("goal_met", "the strategy expects nothing more that is worth a trial")
            if proposal is None:
                return Stop("exhausted", "the strategy has no further proposal")
            batch = proposal if isinstance(proposal, list) else [proposal]
            told, stop = self._try_all(batch)
            if stop is not None:
                return stop
            answer = told if isinstance(proposal, list) else told[0]

    def _stop_before(self) -> Stop | None:
        if self.signals.requested:
            return INTERRUPTED
        return self.stopping.before(self.trials, self._elapsed())

    def _elapsed(self) -> float:
        return self.elapsed_before + self.job.clock() - self.started

    def _try_all(self, batch: Sequence[Recipe]) -> tuple[list[Trial], Stop | None]:
        """Recall or run the trials of one proposal, in its order, until the search has to stop."""
        check_recipes(batch)
        named = [(recipe, recipe.fingerprint) for recipe in batch]
        first, stop = len(self.trials) + 1, None
        self.halted = None
        with closing(self._run(self._asks(first, named))) as outcomes:
            for number, (recipe, fingerprint) in enumerate(named, first):
                if self.history.knows(fingerprint):
                    stop = self._stop_before()
                    outcome = None if stop else self._recall(number, recipe, fingerprint)
                else:
                    with self.job.console.doing(f"trial {number}"):
                        outcome = next(outcomes, None)
                    stop = self.halted if outcome is None else None
                    if outcome is not None:
                        outcome = (
                            replace(outcome[0], forecast=self.forecasts.of(recipe)),
                            outcome[1],
                        )
                        self.history.finish(outcome[0], fingerprint)
                        self.guard.after(number)
                if outcome is not None:
                    self._note(*outcome)
                    stop = self.stopping.after(self.trials)
                if stop is not None:
                    break
        self.forecasts.clear()
        return self.trials[first - 1 :], stop

    def _recall(self, number: int, recipe: Recipe, fingerprint: str) -> Outcome | None:
        trial = self.history.recall(number, recipe, fingerprint)
        if trial is None:
            return None
        if trial.status != "cached":
            self.elapsed_before += trial.seconds
        return trial, None

    def _asks(self, first: int, named: Sequence[tuple[Recipe, str]]) -> Iterator[Ask]:
        """Yield what must run, each when its trial starts; ends where the search has to stop."""
        asked: set[str] = set()
        for number, (recipe, fingerprint) in enumerate(named, first):
            if fingerprint in asked or self.history.knows(fingerprint):
                continue
            self.halted = self._stop_before()
            if self.halted is not None:
                return
            check_in_space(self.job.space, recipe)
            self.history.started(number, fingerprint)
            asked.add(fingerprint)
            yield Ask(number, recipe)

    def _run(self, asks: Iterable[Ask]) -> Generator[Outcome, None, None]:
        return self.runner.run(self.job, asks, Terms(self.criterion, self.gate, self.baseline))

    def _note(self, trial: Trial, built: Built | None) -> None:
        self.trials.append(trial)
        self._note_best(trial)
        if self.best is trial:
            self.history.accept(trial.number)
            if built is not None:
                self.job.builder.keep(trial.recipe, *built)
        self.job.emit("inc_trial_finished", trial=trial)
        self._show(trial)

    def _show(self, trial: Trial) -> None:
        job = self.job
        job.say(trial_line(trial, self.baseline, self.best))
        left = self.stopping.left(self.trials, self._elapsed())
        for line in detail_lines(
            trial, self.baseline, self.criterion, self.best, self.forecasts.bound, left
        ):
            job.say(line)
        job.console.show(standing(self.best, self.baseline, self.criterion, self.forecasts.bound))

    def _note_best(self, trial: Trial) -> None:
        if trial.status != "cached":  # an equal recipe cannot be better than itself
            contenders = [trial] if self.best is None else [self.best, trial]
            self.best = self.ranking.best(contenders)

    def _confirmed(self, stop: Stop) -> Stop:
        """Evaluate the closest trial on all samples if no trial was: what is returned is exact."""
        if stop is INTERRUPTED or any(trial.status == "ok" for trial in self.trials):
            return stop
        rejected = [trial for trial in self.trials if trial.status == "rejected_early"]
        if not rejected:
            return stop
        closest = min(rejected, key=lambda trial: self.criterion.loss(trial.accuracy or 0.0))
        trial = self.history.confirmed(closest)
        if trial is None:
            ask = Ask(closest.number, closest.recipe, gated=False)
            doing = self.job.console.doing(f"trial {closest.number} on all samples")
            with doing, closing(self._run([ask])) as outcomes:
                trial, built = next(outcomes)
            trial = replace(
                trial,
                seconds=closest.seconds + trial.seconds,
                samples=closest.samples + trial.samples,
                forecast=closest.forecast,
            )
            self.history.confirm(trial)
            if built is not None:
                self.job.builder.keep(trial.recipe, *built)
        if trial.accuracy is None:
            return stop  # it failed this time: the estimate is all there is
        self.trials[closest.number - 1] = trial
        self.job.say(trial_line(trial, self.baseline, None))
        if not trial.accepted:
            return stop
        self._note_best(trial)
        self.history.accept(trial.number)
        return Stop("goal_met", f"trial {trial.number} met the accuracy goal on all samples")

    def _compare_finalists(self, stop: Stop) -> None:
        """Time the best accepted models side by side; the best of them by that is the winner."""
        if stop.reason in ("interrupted", "timeout"):
            return  # there is no time left
        chosen = finalists(self.job, self.ranking, self.trials)
        if not chosen:
            return
        timed = refined(self.job, chosen, seconds_for(self._result(stop).evaluation_seconds))
        for trial in timed:
            self.trials[trial.number - 1] = trial
        best = self.ranking.best(timed)
        if best is not None and self.best is not None and best.number != self.best.number:
            self.history.accept(best.number)
        self.best = best

    def _result(self, stop: Stop) -> TuningResult:
        return TuningResult(
            baseline=self.baseline,
            trials=tuple(self.trials),
            best=self.best,
            stopped_by=stop.reason,
            threshold=self.criterion.threshold,
            higher_is_better=self.criterion.higher_is_better,
            message=stop.message,
            history_complete=self.job.journal.complete,
            bound=self.forecasts.bound,
        )


def _raise_if_nothing_works(result: TuningResult) -> None:
    if result.stopped_by == "failures" and result.best is None:
        raise EvaluationError(
            f"{result.message}. The float model was evaluated without fault "
            f"(accuracy {result.baseline.accuracy}), so the cause lies in the quantized models, "
            "or in an evaluation that does not accept them."
        )
