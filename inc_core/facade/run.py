"""One run of ``fit()``: the search in its workspace, then the model with everything known of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from inc_core.config.dump import config_to_dict
from inc_core.data.batches import slice_batch
from inc_core.errors import IncError
from inc_core.facade.choices import objectives_of, strategy_of
from inc_core.facade.facts import as_float, compare_speed, gather_facts
from inc_core.facade.ledger import build_ledger, float_reasons
from inc_core.facade.loaders import read_batches
from inc_core.facade.reuse import Reuse
from inc_core.facade.runners import make_runner
from inc_core.facade.session import Session
from inc_core.hookspecs.adaptor import Executed
from inc_core.quant.space import TuningSpace
from inc_core.tuned_model import TunedModel
from inc_core.tuning.cache import Cache
from inc_core.tuning.fingerprint import fingerprint, versions_of
from inc_core.tuning.gate import narrow_by_speed
from inc_core.tuning.job import TuningJob
from inc_core.tuning.journal import Journal
from inc_core.tuning.latency import measure_latency
from inc_core.tuning.loop import tune
from inc_core.tuning.recall import RecallingRunner
from inc_core.tuning.results import Results
from inc_core.tuning.runner import Runner, proposal_width, refuse_in_trial
from inc_core.tuning.speed import LatencyComparison, seconds_for
from inc_core.tuning.trial import Trial, TuningResult
from inc_core.tuning.workspace import open_run, record_facts

__all__ = ["Run"]

# Stored with the model to verify it later: enough to see a wrong kernel, few enough to stay small.
SAMPLE_SIZE = 8


class Run:
    """The search of one session, and the model that it ends with."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._job: TuningJob | None = None
        self._result: TuningResult | None = None
        self._problem: Mapping[str, str] = {}

    def tune(self) -> TuningResult:
        """Search, in the workspace; an unfinished run of the same problem is taken up."""
        refuse_in_trial()
        with self._journal() as journal:
            self._job = self._make_job(journal)
            self._result = tune(self._job)
        return self._result

    def finish(self) -> TunedModel:
        """Build the best model, measure it beside the float model, and account for every op.

        Raises:
            IncError: If no trial finished.
        """
        assert self._job is not None and self._result is not None
        trial = self._result.best_seen() or (self._result.trials or (None,))[0]
        if trial is None or (trial.accuracy is None and self._result.best is None):
            raise IncError(f"no trial finished, so there is no model: {self._result.message}")
        adaptor, batch = self.session.opened.adaptor, self._sample
        doing = self.session.console.doing
        with doing("converting the winner"):
            model, calibration = self._job.builder.build(trial.recipe)
        with doing("timing it against the float model"):
            spent = seconds_for(self._result.evaluation_seconds)
            latency = compare_speed(adaptor, self.session.opened.model, model, batch, spent)
        kept_float = self._keeps_float(trial, latency)
        if kept_float:
            trial = as_float(trial, self._job.space, self._result.baseline)
            model, calibration = self._job.builder.build(trial.recipe)
        executed = adaptor.executed(model) if isinstance(adaptor, Executed) else None
        ledger = build_ledger(self._job.space, trial, executed)
        reasons = float_reasons(trial.recipe, ledger)
        facts = gather_facts(self.session, self._result, trial, model, reasons, latency)
        facts["kept_float"] = kept_float
        record_facts(self._job.journal, facts)
        return TunedModel(
            native=model,
            recipe=trial.recipe,
            adaptor=adaptor,
            qparams=calibration.used,
            ledger=ledger,
            facts=facts,
            sample=None if batch is None else slice_batch(batch, 0, SAMPLE_SIZE),
            result=self._result,
            plugins=self.session.plugins,
        )

    def _keeps_float(self, trial: Trial, latency: LatencyComparison | None) -> bool:
        """Whether the user wants the float model instead, as the trial's was measured slower."""
        wanted = self.session.config.tuning.exit_policy.keep_float_if_slower
        slower = latency is not None and latency.verdict == "slower"
        return wanted and slower and bool(trial.recipe.quantized_ops)

    def why_not_met(self) -> str:
        """Return the message of the error for a goal that was not met."""
        assert self._result is not None
        result = self._result
        seen = result.best_seen()
        closest = (
            "no trial finished"
            if seen is None
            else (f"the closest was trial {seen.number} with {seen.accuracy:.4f}")
        )
        return (
            f"no recipe met the accuracy goal: the float model has {result.baseline.accuracy:.4f}, "
            f"{result.threshold:.4f} is needed, {closest} of {len(result.trials)} trials "
            f"({result.message}). quantizer.best_seen() builds it; or relax "
            "tuning.accuracy_criterion, or set tuning.exit_policy.on_goal_not_met: best_seen."
        )

    @contextmanager
    def _journal(self) -> Iterator[Journal]:
        session, parts = self.session, self.session.parts
        config = session.config.tuning
        if session.evaluator is None or config.exit_policy.performance_only:
            yield Journal()  # one conversion: there is nothing to resume
            return
        problem = fingerprint(
            adaptor=session.opened.adaptor,
            model=session.opened.model,
            config=config_to_dict(session.config),
            data={
                "calib_dataloader": session.calib_dataloader,
                "eval_dataloader": session.eval_dataloader,
            },
            functions={
                "metric": parts.metric,
                "postprocess": parts.postprocess,
                "eval_func": parts.eval_func,
                "objective": parts.objective,
                "strategy": parts.strategy,
            },
        )
        self._problem = problem
        with open_run(
            config.workspace.path,
            problem,
            seed=config.random_seed,
            width=proposal_width(config.runner.workers),
            versions=versions_of(session.opened.adaptor),
            resume=config.workspace.resume,
            if_busy=config.workspace.if_busy,
        ) as journal:
            yield journal

    def _make_job(self, journal: Journal) -> TuningJob:
        reuse = Reuse(self.session, self._problem)
        self.session = replace(self.session, store=reuse.statistics)
        session, config = self.session, self.session.config.tuning
        results = reuse.results
        return TuningJob(
            adaptor=session.opened.adaptor,
            model=session.opened.model,
            space=self._space(journal, reuse.cache),
            strategy=strategy_of(session),
            calibrate=session.calibrate if session.has_ranges else None,
            evaluator=session.evaluator,
            criterion=config.criterion,
            exit_policy=config.exit_policy,
            objectives=objectives_of(session),
            sample=self._sample,
            probe_inputs=self._probe_inputs(),
            cache=reuse.cache,
            content_key=reuse.content_key,
            early_stop=config.early_stop,
            noise_check=config.noise_check,
            seed=config.random_seed,
            width=proposal_width(config.runner.workers),
            runner=_recalling(make_runner(config.runner), results),
            results=results,
            journal=journal,
            emit=session.plugins.emit,
            reference=None if session.trained is None else session.trained.float_model,
            say=session.console.say,
            console=session.console,
        )

    def _space(self, journal: Journal, cache: Cache) -> TuningSpace:
        """Return the session's space without what the speed gate takes out."""
        session, tuning = self.session, self.session.config.tuning
        # only where speed is the aim: what is quantized for its size may be slower
        if not tuning.speed_gate or "performance" not in tuning.objectives:
            return session.space
        opened = session.opened
        with session.console.doing("timing single ops"):
            table = measure_latency(
                opened.adaptor, opened.model, session.space.capabilities, self._sample,
                journal=journal, cache=cache,
            )  # fmt: skip
        return session.space if table is None else narrow_by_speed(session.space, table)

    def _probe_inputs(self) -> Callable[[], Iterator[Any]] | None:
        session = self.session
        named = {"evaluation": session.eval_dataloader, "calibration": session.calib_dataloader}
        for what, loader in named.items():
            if loader is not None:
                return partial(_inputs_of, loader, what)
        return None

    @cached_property
    def _sample(self) -> Any:
        """One batch of inputs to measure on, read once; ``None`` if there is no data at all."""
        inputs = self._probe_inputs()
        return None if inputs is None else next(inputs(), None)


def _inputs_of(loader: Any, what: str) -> Iterator[Any]:
    return (batch.inputs for batch in read_batches(loader, what))


def _recalling(runner: Runner, results: Results | None) -> Runner:
    return runner if results is None else RecallingRunner(runner, results)
