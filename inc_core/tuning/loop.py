"""The search: the strategy proposes, trials run, the policy decides, the journal remembers."""

from __future__ import annotations

import logging

import numpy as np

from inc_core.errors import EvaluationError, IncError, StrategyError
from inc_core.hookspecs.objective import Objective
from inc_core.hookspecs.strategy import Proposals, StrategyContext
from inc_core.quant.recipe import Recipe
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.history import History
from inc_core.tuning.job import TuningJob
from inc_core.tuning.lines import baseline_line, trial_line
from inc_core.tuning.membership import outside_of
from inc_core.tuning.policy import Ranking, Stop, Stopping
from inc_core.tuning.signals import StopSignals
from inc_core.tuning.trial import Baseline, Trial, TuningResult
from inc_core.tuning.trial_run import describe_error, measure_objectives, run_trial

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
    with StopSignals() as signals:
        result = _Search(job, signals).run() if job.evaluates else _convert_once(job)
    job.journal.append("stopped", reason=result.stopped_by, message=result.message)
    job.emit("inc_tuning_finished", result=result)
    _raise_if_nothing_works(result)
    return result


def resolve_direction(job: TuningJob) -> bool:
    """Return whether a higher metric is better: the user's word, else the metric's, else true."""
    stated = job.criterion.higher_is_better
    if stated is None:
        stated = getattr(job.evaluator, "higher_is_better", None)
    return True if stated is None else bool(stated)


def _convert_once(job: TuningJob) -> TuningResult:
    """Build the default recipe without any evaluation; a failure is an error at once."""
    why = "performance_only is set" if job.evaluator is not None else "there is no evaluation data"
    job.say(f"Accuracy is not evaluated ({why}): one conversion with the default recipe.")
    recipe = job.space.default()
    start = job.clock()
    model, calibration = job.builder.build(recipe)
    job.builder.keep(recipe, model, calibration)
    trial = Trial(number=1, recipe=recipe, seconds=job.clock() - start)
    job.emit("inc_trial_finished", trial=trial)
    return TuningResult(
        baseline=Baseline(accuracy=None),
        trials=(trial,),
        best=trial,
        stopped_by="performance_only",
        message=f"{why}: one conversion, accuracy unknown",
        history_complete=job.journal.complete,
    )


class _Search:
    """The state of one search; lives as long as ``tune``."""

    def __init__(self, job: TuningJob, signals: StopSignals) -> None:
        self.job = job
        self.signals = signals
        self.history = History(job.journal)
        self.stopping = Stopping(job.exit_policy)
        self.trials: list[Trial] = []
        self.best: Trial | None = None
        self.elapsed_before = 0.0  # of replayed trials: a resumed search has one time budget
        self.started = job.clock()

    def run(self) -> TuningResult:
        job = self.job
        self.baseline = self._baseline()
        assert self.baseline.accuracy is not None
        self.criterion = Criterion(
            baseline=self.baseline.accuracy,
            tolerance=job.criterion.tolerance,
            relative=job.criterion.relative,
            higher_is_better=resolve_direction(job),
        )
        entries = job.objectives
        self.ranking = Ranking(
            criterion=self.criterion,
            baseline=self.baseline.objectives,
            weights={entry.name: entry.weight for entry in entries},
            higher_is_better={
                **{e.name: bool(getattr(e.objective, "higher_is_better", False)) for e in entries},
                # as an objective too, accuracy has the metric's direction, which only we know
                "accuracy": self.criterion.higher_is_better,
            },
        )
        job.emit("inc_tuning_started", space=job.space, baseline=self.baseline.accuracy)
        job.say(baseline_line(self.baseline))
        self.signals.patient = True
        try:
            stop = self._explore()
        except KeyboardInterrupt:
            # at once: the running trial is lost, what is finished counts
            stop = INTERRUPTED
        return self._result(stop)

    def _direction(self, objective: Objective) -> bool:
        stated = getattr(objective, "higher_is_better", False)
        return self.criterion.higher_is_better if stated is None else bool(stated)

    def _baseline(self) -> Baseline:
        known = self.history.baseline()
        if known is not None:
            self.elapsed_before += known.seconds
            return known
        job = self.job
        assert job.evaluator is not None
        try:
            evaluation = job.evaluator.evaluate(job.model)
        except IncError:
            raise
        except Exception as error:  # user code: whatever it raises ends the run
            raise EvaluationError(
                f"the float model cannot be evaluated: {describe_error(error)}. "
                "Nothing was quantized yet: check evaluation data, metric and model."
            ) from error
        baseline = Baseline(
            accuracy=evaluation.accuracy,
            objectives=measure_objectives(job, job.model, evaluation.accuracy),
            seconds=evaluation.seconds,
            samples=evaluation.samples,
        )
        self.history.add_baseline(baseline)
        return baseline

    def _explore(self) -> Stop:
        job = self.job
        context = StrategyContext(
            rng=np.random.default_rng(job.seed),
            baseline=self.criterion.baseline,
            criterion=self.criterion,
            width=job.width,
            stop_at_first=job.exit_policy.timeout == 0,
        )
        proposals = job.strategy.propose(job.space, context)
        try:
            return self._follow(proposals)
        finally:
            proposals.close()

    def _follow(self, proposals: Proposals) -> Stop:
        answer: Trial | list[Trial] | None = None
        while True:
            proposal = _next_proposal(proposals, answer)
            if proposal is None:
                return Stop("exhausted", "the strategy has no further proposal")
            batch = proposal if isinstance(proposal, list) else [proposal]
            told: list[Trial] = []
            for recipe in batch:
                stop = self._stop_before()
                if stop is not None:
                    return stop
                told.append(self._one(recipe))
                stop = self.stopping.after(self.trials)
                if stop is not None:
                    return stop
            answer = told if isinstance(proposal, list) else told[0]

    def _stop_before(self) -> Stop | None:
        if self.signals.requested:
            return INTERRUPTED
        elapsed = self.elapsed_before + self.job.clock() - self.started
        return self.stopping.before(self.trials, elapsed)

    def _one(self, recipe: Recipe) -> Trial:
        """Replay, recall or run the trial of a recipe, and remember it."""
        if not isinstance(recipe, Recipe):
            raise StrategyError(
                f"the strategy yielded {recipe!r}; a Recipe or a list of them is needed"
            )
        number = len(self.trials) + 1
        fingerprint = recipe.fingerprint
        built = None
        trial = self.history.recall(number, recipe, fingerprint)
        if trial is None:
            _check_in_space(self.job, recipe)
            self.history.started(number, fingerprint)
            trial, built = run_trial(self.job, number, recipe, self.criterion)
            self.history.finish(trial, fingerprint)
        elif trial.status != "cached":
            self.elapsed_before += trial.seconds
        self.trials.append(trial)
        self._note_best(trial)
        if self.best is trial:
            self.history.accept(number)
            if built is not None:
                self.job.builder.keep(recipe, *built)
        self.job.emit("inc_trial_finished", trial=trial)
        self.job.say(trial_line(trial, self.baseline, self.best))
        return trial

    def _note_best(self, trial: Trial) -> None:
        if trial.status != "cached":  # an equal recipe cannot be better than itself
            contenders = [trial] if self.best is None else [self.best, trial]
            self.best = self.ranking.best(contenders)

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
        )


def _next_proposal(
    proposals: Proposals, answer: Trial | list[Trial] | None
) -> Recipe | list[Recipe] | None:
    """Return the next proposal, or ``None`` at the end; an empty list counts as none."""
    try:
        proposal = next(proposals) if answer is None else proposals.send(answer)
        while isinstance(proposal, list) and not proposal:
            proposal = proposals.send([])
    except StopIteration:
        return None
    except Exception as error:  # third-party code, wrapped with its cause
        raise StrategyError(f"the strategy failed: {describe_error(error)}") from error
    return proposal


def _check_in_space(job: TuningJob, recipe: Recipe) -> None:
    problem = outside_of(job.space, recipe)
    if problem:
        raise StrategyError(f"the strategy proposed a recipe outside of the space: {problem}")


def _raise_if_nothing_works(result: TuningResult) -> None:
    if result.stopped_by == "failures" and result.best is None:
        raise EvaluationError(
            f"{result.message}. The float model was evaluated without fault "
            f"(accuracy {result.baseline.accuracy}), so the cause lies in the quantized models, "
            "or in an evaluation that does not accept them."
        )
