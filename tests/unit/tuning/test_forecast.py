"""What a strategy expects is kept with the trial, shown, journaled, and never changes the search."""

from __future__ import annotations

from inc_core.hookspecs.strategy import Forecast
from inc_core.strategies.frontier.strategy import FrontierStrategy
from inc_core.testing.toy import ToyAccuracy
from inc_core.tuning.evaluate import MetricEvaluator
from inc_core.tuning.journal import Journal
from inc_core.tuning.loop import tune
from inc_core.tuning.trial import Trial


class Foreseeing:
    """Takes one op back at a time, and says what it expects of each but the second."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after

    def propose(self, space, context):
        recipe = space.default()
        for number, op in enumerate(space.ops, 1):
            if number != 2:
                context.foresee(recipe, Forecast(0.1 / number, 1.0 + 1.0 / number, 2.5, 9 - number))
            trial = yield recipe
            if trial.accepted or number == self.stop_after:
                break
            recipe = recipe.with_op(op, space.fallback(op))
        context.foresee(None, Forecast(bound=1.25))


def test_each_trial_has_its_forecast(search):
    first, second, third = tune(search.job(strategy=Foreseeing(stop_after=3))).trials
    assert first.forecast == Forecast(0.1, 2.0, 2.5, 8)
    assert second.forecast is None
    assert third.forecast == Forecast(0.1 / 3, 1.0 + 1.0 / 3, 2.5, 6)


def test_what_was_left_at_the_end_is_in_the_result(search):
    assert tune(search.job(strategy=Foreseeing(stop_after=3))).bound == 1.25


def test_the_last_word_before_a_stop_counts(search):
    job = search.job(strategy=Foreseeing())
    assert tune(job).bound in (1.25, 2.5)


def test_the_lines_show_it(search):
    lines = []
    tune(search.job(strategy=Foreseeing(stop_after=2), say=lines.append))
    assert any("(0.1000 expected, 0.0100 allowed)" in line for line in lines)
    assert any("thought possible: 2.50x; left: 7 trial(s)" in line for line in lines)
    assert any("thought possible: 1.25x" in line for line in lines[-1:])


def test_a_resumed_search_has_the_same_forecasts_and_runs_nothing_again(search, tmp_path):
    with Journal(tmp_path / "journal.jsonl") as journal:
        whole = tune(search.job(strategy=Foreseeing(stop_after=4), journal=journal))
    built = search.adaptor.quantized
    with Journal(tmp_path / "journal.jsonl") as journal:
        again = tune(search.job(strategy=Foreseeing(stop_after=4), journal=journal))
    assert again.trials == whole.trials
    assert again.bound == whole.bound
    assert search.adaptor.quantized == built


def test_a_journal_without_forecasts_still_replays(search):
    fields = tune(search.job()).trials[0].to_json()
    del fields["forecast"]
    assert Trial.from_json(fields).forecast is None


def test_a_trial_survives_json_with_its_forecast(search):
    trial = tune(search.job(strategy=Foreseeing(stop_after=1))).trials[0]
    assert Trial.from_json(trial.to_json()) == trial


class TestFrontier:
    def result(self, search, **changes):
        return tune(
            search.job(
                strategy=FrontierStrategy(),
                sample=search.data.inputs,
                probe_inputs=lambda: iter([search.data.inputs]),
                evaluator=MetricEvaluator(search.adaptor, search.batches, ToyAccuracy),
                **changes,
            )
        )

    def test_it_expects_a_loss_as_soon_as_it_has_a_model(self, search):
        first, *others = self.result(search).trials
        assert first.forecast.loss is None
        assert others
        assert all(0 <= trial.forecast.loss <= 1 for trial in others)

    def test_it_counts_its_trials_down(self, search):
        left = [trial.forecast.trials_left for trial in self.result(search).trials[1:]]
        known = [count for count in left if count is not None]
        assert known == sorted(known, reverse=True)
        assert len(set(known)) == len(known) >= 1

    def test_what_it_thinks_possible_never_falls_below_what_it_expects_of_the_best(self, search):
        result = self.result(search)
        for trial in result.trials[1:]:
            forecast = trial.forecast
            if forecast.bound is not None and trial.accepted:
                assert forecast.bound >= forecast.speedup * 0.999

    def test_listening_changes_nothing(self, search, monkeypatch):
        heard = self.result(search)
        monkeypatch.setattr("inc_core.tuning.proposals.Forecasts.foresee", lambda *_: None)
        unheard = self.result(search)
        assert [t.recipe for t in heard.trials] == [t.recipe for t in unheard.trials]
