"""An evaluation in parts gives what it gives in one place, to the last bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inc_core.common import DataLoader
from inc_core.errors import EvaluationError
from inc_core.testing.toy import ToyAccuracy
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.early_stop import make_gate
from inc_core.tuning.evaluate import FunctionEvaluator, MetricEvaluator
from inc_core.tuning.parts import parts_between
from inc_core.tuning.runner.contract import Ask, Terms
from inc_core.tuning.runner.work import (
    SplitWork,
    WholeWork,
    division,
    pack_parts,
    proposal_width,
)
from inc_core.tuning.trial import Baseline
from inc_core.tuning.trial_run import run_part, run_trial


class Margin:
    """Mean of float scores whose sums round: any other order of additions would show."""

    score_range = (0.0, 1.0)

    def __init__(self):
        self.total, self.count = 0.0, 0

    def scores(self, predictions, labels):
        logits = np.exp(predictions - predictions.max(-1, keepdims=True))
        return (logits / logits.sum(-1, keepdims=True))[np.arange(len(labels)), labels] ** 0.3

    def update(self, predictions, labels):
        scores = np.asarray(self.scores(predictions, labels), np.float64)
        self.total += float(scores.sum())
        self.count += len(scores)

    def merge(self, other):
        self.total += other.total
        self.count += other.count

    def result(self):
        return self.total / self.count


class Hits(ToyAccuracy):
    """Has scores and no way to merge."""

    merge = None

    def scores(self, predictions, labels):
        return np.asarray(predictions).argmax(-1) == labels


class Bounded(ToyAccuracy):
    """Has bounds."""

    def bounds(self, remaining):
        total = self._total + remaining
        return self._hits / total, (self._hits + remaining) / total


@pytest.fixture
def make(search):
    """A job and the terms of its search, for a metric and a tolerance."""

    def make(metric, tolerance=0.01, **loader):
        loader = DataLoader(search.data, **{"batch_size": 3, **loader})
        evaluator = MetricEvaluator(search.adaptor, loader, metric, order_seed=7)
        job = search.job(evaluator=evaluator)
        found = evaluator.evaluate(job.model)
        baseline = Baseline(found.accuracy, samples=found.samples)
        criterion = Criterion(found.accuracy, tolerance)
        gate = make_gate(evaluator, criterion, baseline, found.scores)
        return job, Terms(criterion, gate, baseline)

    return make


def run_split(job, ask, work, order):
    """Return the trial and how many batches were evaluated."""
    waiting, batches = list(work.spans()), 0
    while work.trial(ask) is None:
        span = waiting.pop(order.integers(len(waiting)))
        batches += span[1] - span[0]
        reply = {"parts": pack_parts(run_part(job, ask.number, ask.recipe, *span))}
        waiting += work.take(span, reply)
    return work.trial(ask), batches


def facts(trial):
    return trial.number, trial.accuracy, trial.accepted, trial.status, trial.samples


class TestSame:
    @pytest.mark.parametrize("metric", [ToyAccuracy, Margin, Hits, Bounded])
    @pytest.mark.parametrize("parts", [2, 3, 5])
    @pytest.mark.parametrize("tolerance", [0.01, 0.3])
    def test_accuracy_and_end_are_those_of_one_place(self, make, metric, parts, tolerance):
        job, terms = make(metric, tolerance)
        space = job.space
        recipes = [space.default(), space.all_float()]
        recipes += [recipes[1].with_op(op, space.default().ops[op]) for op in space.ops[:2]]
        order = np.random.default_rng(parts)
        for number, recipe in enumerate(recipes, 1):
            for gated in (True, False):
                ask, gate = Ask(number, recipe, gated), terms.gate_of(gated)
                whole, _ = run_trial(job, number, recipe, terms.criterion, gate)
                work = SplitWork(job.evaluator, terms, gate, parts, job.clock)
                split, _ = run_split(job, ask, work, order)
                assert facts(split) == facts(whole)

    def test_a_hopeless_trial_ends_in_its_first_window(self, make):
        job, terms = make(Hits)
        ask = Ask(1, job.space.default())
        work = SplitWork(job.evaluator, terms, terms.gate, 2, job.clock)
        trial, batches = run_split(job, ask, work, np.random.default_rng(0))
        assert trial.status == "rejected_early"
        assert batches < job.evaluator.batch_total() / 2

    def test_a_result_out_of_its_range_is_an_error_that_names_the_metric(self, make):
        class Stretched(ToyAccuracy):
            result_range = (0, 1)

            def result(self):
                return 2 * super().result()

        job, terms = make(ToyAccuracy)
        job.evaluator.metric = Stretched
        work = SplitWork(job.evaluator, terms, None, 2, job.clock)
        ask = Ask(1, job.space.all_float())
        with pytest.raises(EvaluationError, match=r"Stretched\.result\(\) returned 2\.0, outside"):
            run_split(job, ask, work, np.random.default_rng(0))

    def test_a_part_that_fails_is_the_trial(self, make):
        job, terms = make(ToyAccuracy)
        work = SplitWork(job.evaluator, terms, None, 2, job.clock)
        work.take(work.spans()[1], {"trial": {"number": 4, "status": "failed", "error": "no"}})
        trial = work.trial(Ask(4, job.space.default()))
        assert (trial.number, trial.status, trial.error) == (4, "failed", "no")


class TestWhen:
    def test_beyond_four_workers(self, make):
        job, terms = make(ToyAccuracy)
        ask = Ask(1, job.space.default())
        kinds = [type(division(job, terms, workers)(ask)) for workers in (1, 4, 5, 8, 16)]
        assert kinds == [WholeWork] * 2 + [SplitWork] * 3

    def test_proposals_are_no_wider_than_four(self):
        assert [proposal_width(workers) for workers in (1, 3, 4, 9)] == [1, 3, 4, 4]

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda job: FunctionEvaluator(lambda model: 1.0), "user's own function"),
            (lambda job: job.evaluator.over(iter([])), "does not say how many batches"),
            (lambda job: job.evaluator.over([1, 2, 3]), "has 3 batches, for 2 parts"),
        ],
    )
    def test_what_cannot_be_split_says_so_once_and_runs_whole(
        self, make, change, reason, caplog, search
    ):
        job, terms = make(ToyAccuracy)
        job = search.job(evaluator=change(job))
        with caplog.at_level("INFO"):
            work = division(job, terms, 8)
        assert "an evaluation is not split over workers:" in caplog.text
        assert reason in caplog.text
        assert isinstance(work(Ask(1, job.space.default())), WholeWork)

    def test_scores_alone_must_give_the_exact_result(self, make, caplog):
        class Rounded(Hits):
            def result(self):
                return round(super().result(), 4) + 1e-9

        job, terms = make(Rounded)
        with caplog.at_level("INFO"):
            division(job, terms, 8)
        assert "Rounded has no merge(other), and the scores' mean is not its exact" in caplog.text

    def test_parts_of_different_sizes_cover_every_batch_once(self, make):
        job, _ = make(ToyAccuracy)
        total = job.evaluator.batch_total()
        cuts = [0, 1, 5, 6, total]
        parts = [
            part.size
            for first, last in itertools.pairwise(cuts)
            for part in parts_between(job.evaluator, job.model, first, last)
        ]
        assert len(parts) == total
        assert sum(parts) == len(job.evaluator.loader.dataset)
