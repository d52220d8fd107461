from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import time

import numpy as np
import pytest

from inc_core.config.types import CriterionConfig, ExitPolicyConfig
from inc_core.errors import CalibrationError, EvaluationError, QuantizationError, StrategyError
from inc_core.objectives import Accuracy
from inc_core.tuning.evaluate import FunctionEvaluator
from inc_core.tuning.job import WeightedObjective, build
from inc_core.tuning.journal import Journal
from inc_core.tuning.loop import tune


def floats(recipe):
    return [op.name for op, config in recipe.ops.items() if not config.is_quantized]


class Scripted:
    """Proposes the recipes that it is given, and keeps what it is told."""

    def __init__(self, *recipes):
        self.recipes = recipes
        self.told = []

    def propose(self, space, context):
        self.context = context
        for recipe in self.recipes:
            self.told.append((yield recipe))


def ladder(space):
    """Return recipes with ever more float ops, all distinct."""
    recipes = [space.default()]
    for op in space.ops:
        recipes.append(recipes[-1].with_op(op, space.fallback(op)))
    return recipes


def answers(*values):
    """Return an evaluator that gives these accuracies in turn; exceptions are raised."""
    rest = iter(values)

    def evaluate(model):
        value = next(rest)
        if isinstance(value, BaseException):
            raise value
        return value

    return FunctionEvaluator(evaluate)


def scripted(search, *values, recipes=None, **changes):
    """Return a job whose trials have these outcomes; the first value is the baseline."""
    space = search.space()
    strategy = Scripted(*(ladder(space) if recipes is None else recipes))
    return search.job(strategy=strategy, evaluator=answers(*values), **changes)


class TestSearch:
    def test_it_finds_the_ops_that_must_stay_float(self, search):
        result = tune(search.job())
        assert floats(result.best.recipe) == ["fc1", "fc3"]
        assert result.best.accuracy >= result.threshold
        assert result.stopped_by == "goal_met"

    def test_a_good_model_passes_at_the_first_trial(self, make_search):
        result = tune(make_search(culprits=()).job())
        assert [trial.number for trial in result.trials] == [1]
        assert len(result.best.recipe.quantized_ops) == 6

    def test_an_option_set_that_repairs_is_found_next(self, make_search):
        result = tune(make_search(culprits=(), spread_layers=(2,)).job())
        assert "cross_layer_equalization" in result.best.recipe.options
        assert len(result.trials) == 2

    def test_calibration_runs_once_per_option_set_however_many_trials(self, search):
        result = tune(search.job())
        assert len(result.trials) > 5
        assert search.adaptor.observed == len(search.space().option_sets) == 2

    def test_rewrites_run_once_per_option_set(self, make_search):
        search = make_search(culprits=(4,), spread_layers=(2,))
        result = tune(search.job())
        assert sum(bool(trial.recipe.options) for trial in result.trials) > 2
        assert search.adaptor.rewritten == 1
        assert search.adaptor.observed == 2

    def test_the_best_model_is_not_built_again(self, search):
        job = search.job()
        result = tune(job)
        before = search.adaptor.quantized
        model = build(job, result.best.recipe)
        assert search.adaptor.quantized == before
        again = job.evaluator.evaluate(model)
        assert again.accuracy == result.best.accuracy

    def test_another_model_is_built_when_asked_for(self, search):
        job = search.job()
        tune(job)
        model = build(job, job.space.default())
        assert job.evaluator.evaluate(model).accuracy < 0.9

    def test_trials_count_samples_and_seconds(self, search):
        trial = tune(search.job()).trials[0]
        assert trial.samples == 64
        assert 0 < trial.eval_seconds <= trial.seconds


class TestCriterion:
    def test_lower_is_better_accepts_what_is_below(self, search):
        job = scripted(search, 1.0, 1.2, 1.005, criterion=CriterionConfig(higher_is_better=False))
        result = tune(job)
        assert result.best.number == 2
        assert result.threshold == pytest.approx(1.01)
        assert not result.higher_is_better

    def test_the_metric_says_the_direction_unless_the_user_does(self, search):
        evaluator = answers(1.0, 1.005)
        evaluator.higher_is_better = False
        job = search.job(strategy=Scripted(search.space().default()), evaluator=evaluator)
        assert not tune(job).higher_is_better

    def test_a_negative_baseline_has_its_threshold_below(self, search):
        result = tune(scripted(search, -2.0, -2.1, -2.01))
        assert result.best.number == 2

    def test_a_zero_baseline_needs_an_absolute_goal(self, search):
        with pytest.raises(EvaluationError, match="accuracy is 0, so a relative loss has no mea"):
            tune(scripted(search, 0.0, 0.1))
        absolute = CriterionConfig(tolerance=0.1, relative=False)
        assert tune(scripted(search, 0.0, -0.2, -0.05, criterion=absolute)).best.number == 2


class TestBaseline:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            pytest.param(float("nan"), "eval_func returned nan", id="NaN"),
            pytest.param([0.5], "one number is needed", id="list"),
            pytest.param(
                ValueError("no labels"),
                r"the float model cannot be evaluated: ValueError: no labels \[at test_loop.py",
                id="raises",
            ),
        ],
    )
    def test_a_float_model_that_cannot_be_evaluated_is_an_error_at_once(
        self, search, value, message
    ):
        with pytest.raises(EvaluationError, match=message):
            tune(scripted(search, value))
        assert search.adaptor.quantized == 0

    def test_calibration_data_that_is_broken_is_an_error_at_once(self, search):
        search.data.inputs = search.data.inputs * np.nan
        with pytest.raises(CalibrationError, match=r"(?i)nan"):
            tune(search.job())


class TestFailingTrials:
    def test_a_trial_that_raises_is_failed_and_the_search_goes_on(self, search, caplog):
        with caplog.at_level(logging.WARNING):
            result = tune(scripted(search, 0.8, ValueError("boom"), 0.8))
        failed = result.trials[0]
        assert (failed.status, failed.accuracy, failed.accepted) == ("failed", None, False)
        assert failed.error.startswith("ValueError: boom [at test_loop.py:")
        assert "trial 1 failed: ValueError: boom" in caplog.text
        assert result.best.number == 2

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (float("nan"), "nan"),
            (float("-inf"), "-inf"),
            (None, "None"),
            (np.ones(2), r"array([1., 1.])"),
        ],
        ids=["NaN", "infinite", "None", "array"],
    )
    def test_what_is_no_number_is_failed_and_shown(self, search, value, shown):
        result = tune(scripted(search, 0.8, value, 0.8))
        assert result.trials[0].status == "failed"
        assert f"eval_func returned {shown}" in result.trials[0].error

    def test_a_result_out_of_its_range_is_failed_and_shown(self, search):
        job = scripted(search, 0.8, 79.5, 0.8)
        job.evaluator.eval_func.result_range = (0.0, 1.0)
        result = tune(job)
        assert result.trials[0].status == "failed"
        assert (
            "eval_func returned 79.5, outside of its result_range [0, 1]" in result.trials[0].error
        )
        assert result.best.number == 2

    def test_running_out_of_memory_is_told_apart(self, search):
        result = tune(scripted(search, 0.8, MemoryError(), 0.8))
        assert result.trials[0].status == "oom"

    def test_a_recipe_that_cannot_be_built_is_failed(self, search):
        real = search.adaptor.quantize
        failing = iter([True])

        def quantize(model, recipe, calibration):
            if next(failing, False):
                raise QuantizationError("no kernel")
            return real(model, recipe, calibration)

        search.adaptor.quantize = quantize
        result = tune(scripted(search, 0.8, 0.8))
        assert [trial.status for trial in result.trials] == ["failed", "ok"]

    def test_three_that_fail_alike_end_the_search_with_the_cause(self, search):
        boom = [ValueError(f"boom {n}") for n in range(9)]
        with pytest.raises(
            EvaluationError, match=r"3 recipes in a row failed alike: ValueError: boom 2 .*0.8"
        ):
            tune(scripted(search, 0.8, *boom))

    def test_after_an_accepted_trial_they_only_end_it(self, search):
        boom = [ValueError(f"boom {n}") for n in range(9)]
        job = scripted(search, 0.8, 0.8, *boom, exit_policy=ExitPolicyConfig(timeout=3600))
        result = tune(job)
        assert result.stopped_by == "failures"
        assert result.best.number == 1

    def test_an_equal_recipe_is_not_evaluated_again(self, search):
        recipe = search.space().default()
        job = scripted(search, 0.8, 0.5, recipes=[recipe, recipe])
        result = tune(job)
        assert [trial.status for trial in result.trials] == ["ok", "cached"]
        assert result.trials[1].accuracy == 0.5
        assert search.adaptor.quantized == 1


class TestEnd:
    def test_max_trials(self, search):
        result = tune(search.job(exit_policy=ExitPolicyConfig(max_trials=3)))
        assert len(result.trials) == 3
        assert result.stopped_by == "max_trials"
        assert result.best is None
        assert result.best_seen() is not None

    def test_a_strategy_with_nothing_more_to_try(self, search):
        result = tune(scripted(search, 0.8, *[0.1] * 7))
        assert result.stopped_by == "exhausted"
        assert len(result.trials) == 7

    def test_with_a_timeout_the_best_by_objectives_wins_not_the_first(self, search):
        class FloatOps:
            higher_is_better = True

            def measure(self, run):
                return float(sum(not n.config.is_quantized for n in run._model.nodes))

        job = scripted(
            search,
            0.8,
            *[0.8] * 7,
            exit_policy=ExitPolicyConfig(timeout=3600),
            objectives=[WeightedObjective("float_ops", FloatOps())],
            sample=search.data.inputs,
        )
        result = tune(job)
        assert result.stopped_by == "exhausted"
        assert result.best.number == 7
        assert "float_ops" in result.baseline.objectives

    @pytest.mark.parametrize(("higher", "winner"), [(True, 2), (False, 1)])
    def test_accuracy_as_an_objective_has_the_direction_of_the_metric(self, search, higher, winner):
        job = scripted(
            search,
            1.0,
            *[0.999, 1.001] + [1.0] * 5,
            criterion=CriterionConfig(higher_is_better=higher),
            exit_policy=ExitPolicyConfig(timeout=3600),
            objectives=[WeightedObjective("whatever_its_name", Accuracy())],
            sample=search.data.inputs,
        )
        assert tune(job).best.number == winner

    def test_time_is_measured_by_the_clock_given(self, search):
        ticks = itertools.count(step=10.0)  # each look at the clock costs 10 s
        policy = ExitPolicyConfig(timeout=100)
        job = scripted(search, 0.8, *[0.1] * 7, exit_policy=policy, clock=lambda: next(ticks))
        result = tune(job)
        assert result.stopped_by == "timeout"
        assert 1 <= len(result.trials) < 7

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"evaluator": None}, "there is no evaluation data"),
            ({"exit_policy": ExitPolicyConfig(performance_only=True)}, "performance_only is set"),
        ],
        ids=["no evaluator", "performance_only"],
    )
    def test_without_evaluation_there_is_one_conversion_and_no_accuracy(self, search, changes, why):
        lines = []
        result = tune(search.job(**changes, say=lines.append))
        assert result.stopped_by == "performance_only"
        assert result.baseline.accuracy is result.best.accuracy is result.threshold is None
        assert not result.best.accepted
        assert search.adaptor.quantized == 1
        assert lines == [
            f"Accuracy is not evaluated ({why}): one conversion with the default recipe."
        ]

    def test_without_evaluation_a_failing_conversion_is_an_error(self, search):
        with pytest.raises(
            CalibrationError, match="need calibration, but there is no calibration data"
        ):
            tune(search.job(evaluator=None, calibrate=None))


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
    def test_a_signal_ends_the_search_after_the_running_trial(self, search, number):
        real = search.job().evaluator
        calls = itertools.count()

        def evaluate(model):
            if next(calls) == 4:
                os.kill(os.getpid(), number)
            return real.evaluate(model).accuracy

        before = signal.getsignal(number)
        result = tune(search.job(evaluator=FunctionEvaluator(evaluate)))
        assert result.stopped_by == "interrupted"
        assert len(result.trials) == 4
        assert result.best_seen() is not None
        assert signal.getsignal(number) is before

    def test_a_second_signal_ends_it_at_once(self, search):
        calls = itertools.count()

        def evaluate(model):
            if next(calls) == 2:
                for _ in range(2):
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.01)  # Python handles a signal at the next instruction
                raise AssertionError("the trial should not have gone on")
            return 0.8 if model is search.model else 0.1

        result = tune(search.job(evaluator=FunctionEvaluator(evaluate)))
        assert result.stopped_by == "interrupted"
        assert len(result.trials) == 1

    def test_before_the_baseline_is_known_a_signal_is_a_keyboard_interrupt(self, search):
        def evaluate(model):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

        with pytest.raises(KeyboardInterrupt):
            tune(search.job(evaluator=FunctionEvaluator(evaluate)))


class TestStrategy:
    def test_a_list_is_told_as_a_list(self, search):
        recipes = ladder(search.space())
        strategy = Scripted(recipes[:2], recipes[2], [recipes[3]], [])
        tune(search.job(strategy=strategy, evaluator=answers(0.8, *[0.1] * 4), width=2))
        assert [trial.number for trial in strategy.told[0]] == [1, 2]
        assert strategy.told[1].number == 3
        assert [trial.number for trial in strategy.told[2]] == [4]
        assert strategy.context.width == 2

    def test_what_a_strategy_raises_is_named(self, search):
        class Broken:
            def propose(self, space, context):
                yield space.default()
                raise LookupError("lost")

        with pytest.raises(StrategyError, match="the strategy failed: LookupError: lost"):
            tune(search.job(strategy=Broken()))

    def test_a_recipe_outside_of_the_space_is_an_error(self, search):
        space = search.space()
        other = ladder(space)[0]
        odd = type(other)(other.ops, calib_samples=12345)
        with pytest.raises(StrategyError, match="outside of the space: calib_samples 12345"):
            tune(search.job(strategy=Scripted(odd)))

    def test_what_is_no_recipe_is_an_error(self, search):
        with pytest.raises(StrategyError, match="yielded 'int8'; a Recipe or a list"):
            tune(search.job(strategy=Scripted("int8")))


class TestReplay:
    def run(self, search, journal):
        return tune(search.job(journal=journal))

    def test_a_replayed_search_runs_no_trial_and_finds_the_same(self, search, tmp_path):
        with Journal(tmp_path / "journal.jsonl") as journal:
            first = self.run(search, journal)
        built = search.adaptor.quantized
        with Journal(tmp_path / "journal.jsonl") as journal:
            records = len(journal.records)
            again = self.run(search, journal)
            assert len(journal.records) == records + 1  # it stopped once more
        assert search.adaptor.quantized == built
        assert again.best == first.best
        assert again.trials == first.trials
        assert again.baseline == first.baseline

    def test_cut_after_any_record_it_repeats_no_finished_trial(self, make_search, tmp_path):
        search = make_search(layers=4)
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            whole = self.run(search, journal)
        lines = path.read_bytes().splitlines(keepends=True)
        for count in range(len(lines)):
            path.write_bytes(b"".join(lines[:count]))
            finished = sum(b'"type":"finished"' in line for line in lines[:count])
            search.adaptor.quantized = 0
            with Journal(path) as journal:
                result = self.run(search, journal)
            assert search.adaptor.quantized == len(whole.trials) - finished
            assert result.best.recipe == whole.best.recipe
            assert len(result.trials) == len(whole.trials)

    def test_cut_at_any_byte_it_finds_the_same(self, make_search, tmp_path):
        search = make_search(layers=4)
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            whole = self.run(search, journal)
        content = path.read_bytes()
        for size in np.random.default_rng(0).integers(0, len(content), 40):
            path.write_bytes(content[:size])
            search.adaptor.quantized = 0
            with Journal(path) as journal:
                result = self.run(search, journal)
            assert result.best.recipe == whole.best.recipe
            finished = content[:size].rpartition(b"\n")[0].count(b'"type":"finished"')
            assert search.adaptor.quantized == len(whole.trials) - finished

    def test_a_damaged_record_costs_one_trial(self, search, tmp_path):
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            whole = self.run(search, journal)
        lines = path.read_bytes().splitlines(keepends=True)
        third = [k for k, line in enumerate(lines) if b'"type":"finished"' in line][2]
        lines[third] = lines[third].replace(b'"status":"ok"', b'"status":"no"')
        path.write_bytes(b"".join(lines))
        search.adaptor.quantized = 0
        with Journal(path) as journal:
            result = self.run(search, journal)
        assert search.adaptor.quantized == 1
        assert [t.accuracy for t in result.trials] == [t.accuracy for t in whole.trials]

    def test_with_any_bytes_changed_it_finds_the_same(self, make_search, tmp_path):
        search = make_search(layers=4)
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            whole = self.run(search, journal)
        content = path.read_bytes()
        rng = np.random.default_rng(1)
        for _ in range(40):
            broken = bytearray(content)
            for position in rng.integers(0, len(content), rng.integers(1, 4)):
                broken[position] = rng.integers(0, 256)
            path.write_bytes(bytes(broken))
            for aside in tmp_path.glob("journal.[qt]*"):
                aside.unlink()
            with Journal(path) as journal:
                result = self.run(search, journal)
            assert result.best.recipe == whole.best.recipe
            assert [t.accuracy for t in result.trials] == [t.accuracy for t in whole.trials]

    def test_failed_trials_are_replayed_as_failed(self, search, tmp_path):
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            tune(scripted(search, 0.8, ValueError("boom"), 0.8, journal=journal))
        with Journal(path) as journal:
            result = tune(scripted(search, journal=journal))
        assert [trial.status for trial in result.trials] == ["failed", "ok"]

    def test_on_a_full_disk_the_search_ends_as_well_and_says_what_is_missing(
        self, search, tmp_path, disk_of
    ):
        whole = tune(search.job())
        assert whole.history_complete
        with disk_of(1000), Journal(tmp_path / "journal.jsonl") as journal:
            result = self.run(search, journal)
        assert not result.history_complete
        assert result.best.recipe == whole.best.recipe


class TestEventsAndLines:
    def test_every_event_is_sent_replayed_trials_too(self, search):
        journal = Journal()
        events = []
        for _ in range(2):
            events.clear()
            job = search.job(journal=journal, emit=lambda name, **fields: events.append(name))
            result = tune(job)
            middle = ["inc_trial_finished"] * len(result.trials)
            assert events == ["inc_tuning_started", *middle, "inc_tuning_finished"]

    def test_lines_are_those_that_users_grep(self, search):
        lines = []
        tune(scripted(search, 0.8, 0.5, ValueError("boom"), 0.8, say=lines.append))
        lines = [line for line in lines if line.startswith(("FP32", "Tune"))]
        assert re.match(
            r"FP32 baseline is: \[Accuracy: 0\.8000, Duration \(seconds\): \d+\.", lines[0]
        )
        assert lines[1].startswith("Tune 1 result is: [Accuracy (int8|fp32): 0.5000|0.8000, Dur")
        assert lines[1].endswith("Best tune result is: n/a")
        assert lines[2].startswith("Tune 2 result is: [failed: ValueError: boom")
        assert "Best tune result is: [Accuracy: 0.8000" in lines[3]


def test_the_loop_costs_less_than_ten_milliseconds_per_trial(search, tmp_path):
    space = search.space()
    recipes = [space.default().with_op(op, space.fallback(op)) for op in space.ops] * 1
    with Journal(tmp_path / "journal.jsonl") as journal:
        job = scripted(search, 0.8, *[0.1] * 6, recipes=recipes, journal=journal)
        build(job, recipes[0])  # calibrated
        start = time.process_time()
        result = tune(job)
        spent = time.process_time() - start
    quantizing = sum(trial.seconds for trial in result.trials)
    assert spent - quantizing < 0.010 * len(recipes)
