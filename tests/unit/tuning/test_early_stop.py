"""Early stopping from the metric to the result of a whole search."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from inc_core.config.types import ExitPolicyConfig
from inc_core.data.dataloader import DataLoader
from inc_core.errors import ConfigError, EvaluationError
from inc_core.strategies.basic import BasicStrategy
from inc_core.testing.toy import ToyAccuracy, ToyDataset, make_classifier, make_data
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.early_stop import make_gate, pack_scores, unpack_scores
from inc_core.tuning.evaluate import FunctionEvaluator, MetricEvaluator, Scoring
from inc_core.tuning.indexed import IndexedFunctionEvaluator, function_evaluator
from inc_core.tuning.journal import Journal
from inc_core.tuning.loop import tune
from inc_core.tuning.trial import Baseline

SAMPLES = 400
SEED = 7


class Scored(ToyAccuracy):
    """An accuracy that scores single samples."""

    def scores(self, predictions, labels):
        return np.asarray(predictions).argmax(axis=-1) == labels


class Bounded(ToyAccuracy):
    """An accuracy that only tells what is still possible."""

    def bounds(self, remaining):
        total = self._total + remaining
        return self._hits / total, (self._hits + remaining) / total


class Cumulative:
    """Gives ever more ops back to float; what it is told changes nothing."""

    def propose(self, space, context):
        recipe = space.default()
        yield recipe
        for op in space.ops:
            recipe = recipe.with_op(op, space.fallback(op))
            yield recipe


@pytest.fixture
def data():
    return make_data(make_classifier(layers=6), SAMPLES)


def evaluator_of(search, data, metric=Scored, loader=None, **options):
    loader = DataLoader(ToyDataset(data.inputs, data.labels), 20) if loader is None else loader
    return MetricEvaluator(search.adaptor, loader, metric, order_seed=SEED, **options)


def job_of(search, **changes):
    return search.job(**{"strategy": Cumulative(), **changes})


def statuses(result):
    return [trial.status for trial in result.trials]


@pytest.mark.parametrize("order_seed", [None, SEED], ids=["certain", "random order"])
def test_an_evaluation_that_has_seen_everything_did_not_end_early(search, data, order_seed):
    labels = data.labels.copy()
    labels[-40:] += 1  # so the last batch is where the goal gets out of reach, or the only look
    loader = DataLoader(ToyDataset(data.inputs, labels), 400 if order_seed else 40)
    evaluator = MetricEvaluator(search.adaptor, loader, Scored, order_seed=order_seed)
    gate = make_gate(evaluator, Criterion(1.0), Baseline(1.0, samples=SAMPLES), np.ones(SAMPLES))
    seen = evaluator.screen(search.model, gate)
    whole = evaluator.evaluate(search.model)
    assert (seen.stopped_early, seen.accuracy, seen.samples) == (False, whole.accuracy, SAMPLES)
    assert not gate.criterion.accepts(seen.accuracy)


class TestSearch:
    def test_bad_trials_are_rejected_early_and_the_winner_is_the_same(self, search, data):
        evaluator = evaluator_of(search, data)
        whole = tune(job_of(search, evaluator=evaluator, early_stop=False))
        result = tune(job_of(search, evaluator=evaluator))
        assert result.best.recipe == whole.best.recipe
        assert statuses(whole) == ["ok"] * len(whole.trials)
        assert "rejected_early" in statuses(result)
        assert sum(t.samples for t in result.trials) < sum(t.samples for t in whole.trials) / 2

    def test_what_is_accepted_was_evaluated_on_all_samples_with_the_users_metric(
        self, search, data
    ):
        evaluator = evaluator_of(search, data)
        job = job_of(search, evaluator=evaluator)
        best = tune(job).best
        assert best.status == "ok"
        assert best.samples == SAMPLES
        assert best.accuracy == evaluator.evaluate(job.builder.build(best.recipe)[0]).accuracy

    def test_a_rejected_trial_is_not_accepted_and_says_how_much_it_saw(self, search, data):
        lines = []
        result = tune(job_of(search, evaluator=evaluator_of(search, data), say=lines.append))
        first = result.trials[0]
        assert (first.status, first.accepted) == ("rejected_early", False)
        assert first.accuracy < result.threshold
        assert first.samples < SAMPLES
        assert f"rejected after {first.samples} of {SAMPLES} samples]" in lines[1]

    def test_a_replay_gives_the_same_trials_without_an_evaluation(self, search, data, tmp_path):
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            whole = tune(job_of(search, evaluator=evaluator_of(search, data), journal=journal))
        with Journal(path) as journal:
            broken = evaluator_of(search, data, loader=[])  # any evaluation would be an error
            again = tune(job_of(search, evaluator=broken, journal=journal))
        assert again.trials == whole.trials

    def test_cut_after_any_record_it_goes_on_to_the_same_trials(self, make_search, data, tmp_path):
        search = make_search(layers=6, culprits=(4,))
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            whole = tune(job_of(search, evaluator=evaluator_of(search, data), journal=journal))
        lines = path.read_bytes().splitlines(keepends=True)
        for count in range(len(lines)):
            path.write_bytes(b"".join(lines[:count]))
            with Journal(path) as journal:
                result = tune(job_of(search, evaluator=evaluator_of(search, data), journal=journal))
            found = [(t.recipe, t.accuracy, t.status) for t in result.trials]
            assert found == [(t.recipe, t.accuracy, t.status) for t in whole.trials]

    def test_lost_scores_are_made_again(self, search, data, tmp_path):
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            whole = tune(job_of(search, evaluator=evaluator_of(search, data), journal=journal))
        kept = [
            line
            for line in path.read_bytes().splitlines(keepends=True)
            if b"baseline_scores" not in line and b'"type":"finished"' not in line
        ]
        path.write_bytes(b"".join(kept))
        with Journal(path) as journal:
            result = tune(job_of(search, evaluator=evaluator_of(search, data), journal=journal))
        assert statuses(result) == statuses(whole)

    def test_where_nothing_is_accepted_the_closest_is_evaluated_on_all_samples(self, search, data):
        policy = ExitPolicyConfig(max_trials=2)
        evaluator = evaluator_of(search, data)
        job = job_of(search, evaluator=evaluator, exit_policy=policy)
        result = tune(job)
        assert result.best is None
        seen = result.best_seen()
        assert seen.status == "ok"
        assert seen.samples > SAMPLES  # the part that rejected it, and then all
        assert seen.accuracy == evaluator.evaluate(job.builder.build(seen.recipe)[0]).accuracy
        assert sorted(statuses(result)) == ["ok", "rejected_early"]

    def test_that_evaluation_is_not_repeated_in_a_replay(self, search, data):
        journal, policy = Journal(), ExitPolicyConfig(max_trials=2)
        evaluator = evaluator_of(search, data)
        first = tune(job_of(search, evaluator=evaluator, exit_policy=policy, journal=journal))
        broken = evaluator_of(search, data, loader=[])
        again = tune(job_of(search, evaluator=broken, exit_policy=policy, journal=journal))
        assert again.trials == first.trials

    def test_bounds_of_a_metric_reject_too_but_later(self, search, data):
        by_scores = tune(job_of(search, evaluator=evaluator_of(search, data))).trials[0]
        by_bounds = tune(job_of(search, evaluator=evaluator_of(search, data, Bounded))).trials[0]
        assert by_bounds.status == "rejected_early"
        assert by_bounds.samples < SAMPLES
        assert by_scores.samples <= by_bounds.samples + 20

    def test_a_foreign_loader_keeps_its_order_and_only_certain_failures_end_early(
        self, search, data, caplog
    ):
        batches = [
            (data.inputs[k : k + 20], data.labels[k : k + 20]) for k in range(0, SAMPLES, 20)
        ]
        with caplog.at_level(logging.INFO):
            result = tune(job_of(search, evaluator=evaluator_of(search, data, loader=batches)))
        assert "evaluations stop early only where failing is certain" in caplog.text
        assert result.trials[0].status == "rejected_early"
        assert result.best is not None

    def test_a_metric_that_tells_nothing_is_said_once(self, search, data, caplog):
        with caplog.at_level(logging.INFO):
            result = tune(job_of(search, evaluator=evaluator_of(search, data, ToyAccuracy)))
        assert set(statuses(result)) == {"ok"}
        assert caplog.text.count("every evaluation takes all samples: the metric ToyAccuracy") == 1

    def test_a_strategy_that_ranks_what_failed_is_given_exact_accuracies(self, search, data):
        assert BasicStrategy.needs_exact_accuracy
        job = job_of(search, evaluator=evaluator_of(search, data), strategy=BasicStrategy())
        assert set(statuses(tune(job))) == {"ok"}

    def test_without_early_stop_nothing_is_said_or_rejected(self, search, data, caplog):
        with caplog.at_level(logging.INFO):
            tune(job_of(search, evaluator=evaluator_of(search, data), early_stop=False))
        assert "samples" not in caplog.text


class TestEvaluation:
    def test_scores_come_in_the_order_of_evaluation(self, search, data):
        evaluator = evaluator_of(search, data)
        evaluation = evaluator.evaluate(search.model)
        assert evaluation.scores.shape == (SAMPLES,)
        assert evaluation.scores.mean() == evaluation.accuracy
        wrong = ToyDataset(data.inputs, np.where(np.arange(SAMPLES) < 40, -1, data.labels))
        found = evaluator.over(DataLoader(wrong, 20)).evaluate(search.model).scores
        assert found.sum() == SAMPLES - 40
        assert found[:40].sum() > 30  # not the first 40

    def test_scores_of_another_shape_are_an_error(self, search, data):
        class Short(Scored):
            def scores(self, predictions, labels):
                return super().scores(predictions, labels)[:-1]

        with pytest.raises(EvaluationError, match=r"Short.scores\(\) returned an array of shape"):
            evaluator_of(search, data, Short).evaluate(search.model)

    def test_a_metric_may_say_that_this_data_has_no_scores(self, search, data):
        class Silent(Scored):
            def scores(self, predictions, labels):
                return None

        evaluator = evaluator_of(search, data, Silent)
        assert evaluator.evaluate(search.model).scores is None
        assert set(statuses(tune(job_of(search, evaluator=evaluator)))) == {"ok"}

    def test_a_score_range_of_none_means_no_scores(self, search, data):
        class Unknown(Scored):
            score_range = None

        scoring = evaluator_of(search, data, Unknown).scoring()
        assert (scoring.kind, scoring.reason) == ("none", "the metric Unknown has no score_range")


class TestGate:
    SCORES = np.array([1.0, 0.0, 1.0, 1.0])

    def gate(self, scores=SCORES, accuracy=0.75, scoring=None):
        scoring = scoring or Scoring("scores", random_order=True)

        class Told(FunctionEvaluator):
            def scoring(self):
                return scoring

        return make_gate(Told(len), Criterion(0.75), Baseline(accuracy, samples=4), scores)

    def test_scores_that_are_no_mean_of_the_result_are_not_trusted(self, caplog):
        with caplog.at_level(logging.INFO):
            assert self.gate(accuracy=0.6) is None
        assert "the scores' mean is 0.75, and the result 0.6" in caplog.text

    def test_scores_outside_of_their_range_are_not_trusted(self, caplog):
        with caplog.at_level(logging.INFO):
            assert self.gate(scoring=Scoring("scores", "", (0.0, 0.5), True)) is None
        assert "outside of the score_range (0, 0.5)" in caplog.text

    def test_too_few_scores_are_none(self):
        assert self.gate(scores=self.SCORES[:3]) is None
        assert self.gate(scores=None) is None
        assert self.gate().samples == 4

    def test_an_evaluator_without_the_ability_is_no_error(self, caplog):
        class Plain:
            def evaluate(self, model):
                raise AssertionError

        with caplog.at_level(logging.INFO):
            assert make_gate(Plain(), Criterion(0.75), Baseline(0.75), None) is None
        assert "the evaluator cannot stop early" in caplog.text

    def test_packed_scores_are_the_same(self):
        scores = np.random.default_rng(0).random(1000)
        np.testing.assert_array_equal(unpack_scores(pack_scores(scores)), scores)


class TestEvalFunc:
    LABELS = np.random.default_rng(0).integers(0, 2, 1000)

    def scores(self, model, indices=None):
        self.calls.append(indices)
        labels = self.LABELS if indices is None else self.LABELS[indices]
        return (labels < 2).astype(float) * model

    @pytest.fixture(autouse=True)
    def no_calls(self):
        self.calls = []

    @pytest.mark.parametrize(
        ("function", "kind"),
        [
            (lambda model: 0.5, "none"),
            (lambda model, indices=None: 0.5, "scores"),
            (lambda model, threads=4: 0.5, "none"),
            (len, "none"),
        ],
        ids=["model", "indices", "another parameter", "built-in"],
    )
    def test_the_signature_decides(self, function, kind):
        assert function_evaluator(function, SEED).scoring().kind == kind
        assert isinstance(function_evaluator(function, None), FunctionEvaluator)

    def test_without_early_stop_all_samples_are_asked_for(self):
        evaluation = function_evaluator(self.scores, None).evaluate(0.5)
        assert (evaluation.accuracy, self.calls) == (0.5, [None])

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            (0.98, r"received 0\.98 \(float\)"),
            (lambda: 0.98, r"its signature is <lambda>\(\)"),
            (lambda model, loader: 0.98, r"<lambda>\(model, loader\).*Bind what else it needs"),
        ],
        ids=["a result", "without a model", "with more"],
    )
    def test_what_cannot_be_called_with_a_model_is_said_before_anything_runs(
        self, function, message
    ):
        with pytest.raises(ConfigError, match=message):
            function_evaluator(function, SEED)

    @pytest.mark.parametrize("seed", [SEED, None])
    @pytest.mark.parametrize("function", [lambda model: model, lambda model, indices: [model]])
    def test_the_function_is_given_what_the_adaptor_presents(self, function, seed):
        evaluator = function_evaluator(function, seed, present=lambda native: native / 2)
        assert evaluator.evaluate(1.0).accuracy == 0.5

    def test_all_samples_are_asked_for_by_none(self):
        evaluation = IndexedFunctionEvaluator(self.scores, SEED).evaluate(0.5)
        assert (evaluation.accuracy, evaluation.samples) == (0.5, 1000)
        assert self.calls == [None]

    def test_a_bad_model_is_given_up_after_some_indices(self):
        evaluator = IndexedFunctionEvaluator(self.scores, SEED)
        gate = make_gate(
            evaluator, Criterion(1.0), Baseline(1.0, samples=1000), evaluator.evaluate(1.0).scores
        )
        bad = evaluator.screen(0.0, gate)
        assert bad.stopped_early
        assert bad.samples < 100
        good = evaluator.screen(1.0, gate)
        assert (good.stopped_early, good.accuracy, good.samples) == (False, 1.0, 1000)

    def test_parts_and_the_whole_give_the_same_number(self):
        values = np.random.default_rng(1).random(1000)

        def half(model, indices):
            return values if indices is None else values[indices]

        evaluator = IndexedFunctionEvaluator(half, SEED)
        whole = evaluator.evaluate(None)
        criterion = Criterion(whole.accuracy)
        gate = make_gate(evaluator, criterion, Baseline(whole.accuracy, samples=1000), whole.scores)
        assert evaluator.screen(None, gate).accuracy == whole.accuracy

    def test_one_number_for_all_samples_is_evaluated_as_ever(self, search):
        evaluator = function_evaluator(lambda model, indices=None: 0.8, SEED)
        result = tune(job_of(search, evaluator=evaluator))
        assert result.best.number == 1
        assert result.baseline.samples == 0

    def test_a_wrong_number_of_scores_is_an_error(self):
        evaluator = IndexedFunctionEvaluator(lambda model, indices: np.ones(10), SEED)
        gate = make_gate(evaluator, Criterion(1.0), Baseline(1.0, samples=10), np.ones(10))
        with pytest.raises(EvaluationError, match=r"eval_func returned an array of shape \(10,\)"):
            evaluator.screen(None, gate)

    def test_nothing_returned_is_an_error(self):
        with pytest.raises(EvaluationError, match="eval_func returned None"):
            IndexedFunctionEvaluator(lambda model, indices: None, SEED).evaluate(None)
