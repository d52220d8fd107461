"""A second run takes from the first what it can, and never finds anything else for it."""

from __future__ import annotations

import numpy as np
import pytest

from inc_core import common
from inc_core.errors import QuantizationError
from inc_core.testing.toy import make_classifier, make_data
from inc_core.testing.toy.adaptor import ToyAdaptor


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("INC_CACHE")
    monkeypatch.setenv("INC_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def no_final_comparison(monkeypatch):
    """Leave out the measurement at the end of each run, which takes most of its time."""
    monkeypatch.setattr("inc_core.facade.run.compare_speed", lambda *_: None)


@pytest.fixture
def calls(monkeypatch):
    """Counts what runs the model for calibration."""
    counts = {"observe": 0}
    observe = ToyAdaptor.observe

    def counted(self, model, batches, observers):
        counts["observe"] += 1
        observe(self, model, batches, observers)

    monkeypatch.setattr(ToyAdaptor, "observe", counted)
    return counts


class TestCalibration:
    def test_a_second_run_with_another_strategy_calibrates_nothing(self, make_quantizer, calls):
        make_quantizer().fit()
        assert calls["observe"] > 0
        calls["observe"] = 0
        make_quantizer(strategy={"name": "random"}).fit()
        assert calls["observe"] == 0

    def test_ranges_are_the_same_from_the_cache(self, make_quantizer):
        model = make_classifier(culprits=(1,))
        first, second = (make_quantizer(model).fit() for _ in range(2))
        assert first.qparams.keys() == second.qparams.keys()
        for name, value in first.qparams.items():
            np.testing.assert_array_equal(value.scale, second.qparams[name].scale)

    @pytest.mark.parametrize("changed", ["one value in the middle", "the model"])
    def test_what_differs_anywhere_is_calibrated_again(self, make_quantizer, calls, changed):
        make_quantizer().fit()
        calls["observe"] = 0
        quantizer = make_quantizer(make_classifier(seed=7) if changed == "the model" else None)
        if changed != "the model":
            data = make_data(make_classifier())
            data.inputs = data.inputs.copy()
            data.inputs[33, 0] += 1e-3
            quantizer.calib_dataloader = common.DataLoader(data, batch_size=16)
        quantizer.fit()
        assert calls["observe"] > 0

    @pytest.mark.parametrize("kind", ["shuffled", "augmented"])
    def test_data_that_are_different_each_time_are_not_kept(self, make_quantizer, calls, kind):
        class Augmented:
            def __init__(self, data):
                self.data, self.rng = data, np.random.default_rng()

            def __getitem__(self, index):
                inputs, label = self.data[index]
                return inputs + self.rng.normal(0, 1e-6, inputs.shape).astype(inputs.dtype), label

            def __len__(self):
                return len(self.data)

        for _ in range(2):
            calls["observe"] = 0
            quantizer = make_quantizer()
            data = make_data(make_classifier())
            quantizer.calib_dataloader = (
                common.DataLoader(data, batch_size=16, shuffle=True)
                if kind == "shuffled"
                else common.DataLoader(Augmented(data), batch_size=16)
            )
            quantizer.fit()
        assert calls["observe"] > 0

    def test_the_cache_can_be_switched_off_and_moved(self, make_quantizer, calls, tmp_path):
        make_quantizer(cache={"enabled": False}).fit()
        assert not (tmp_path / "cache").exists()
        make_quantizer(cache={"directory": str(tmp_path / "elsewhere")}).fit()
        assert (tmp_path / "elsewhere" / "statistics").is_dir()


def outcomes(quantizer):
    """Return the winner and every trial as they are in each run, cached or not."""
    model = quantizer.fit()
    trials = [
        (t.number, t.recipe.fingerprint, t.status, t.accuracy, t.accepted, t.samples)
        for t in model.result.trials
    ]
    return model, trials


class TestEvaluations:
    @pytest.fixture
    def predictions(self, monkeypatch):
        """Counts the batches that models run on."""
        counts = {"predict": 0}
        predict = ToyAdaptor.predict

        def counted(self, model, inputs):
            counts["predict"] += len(inputs) > 8  # the final model's sample is smaller
            return predict(self, model, inputs)

        monkeypatch.setattr(ToyAdaptor, "predict", counted)
        return counts

    @pytest.mark.parametrize(
        ("strategy", "early_stop", "culprits"),
        [
            ("basic", True, ()),
            ("basic", True, (1,)),
            ("random", True, (0, 3)),
            ("random", False, (0, 3)),
            ("mse", False, (0, 3)),
            ("frontier", True, (0, 3)),
            ("frontier", False, (1,)),
        ],
    )
    def test_cold_warm_and_disabled_caches_give_the_same_trials_and_winner(
        self, make_quantizer, strategy, early_stop, culprits
    ):
        model = make_classifier(layers=5, culprits=culprits)
        settings = {
            "strategy": {"name": strategy}, "early_stop": early_stop, "speed_gate": False,
            "exit_policy": {"max_trials": 8, "on_goal_not_met": "best_seen"},
        }  # fmt: skip
        off, expected = outcomes(make_quantizer(model, cache={"enabled": False}, **settings))
        cold, first = outcomes(make_quantizer(model, **settings))
        warm, again = outcomes(make_quantizer(model, **settings))
        assert first == again == expected
        assert off.recipe == cold.recipe == warm.recipe
        assert off.ledger == cold.ledger == warm.ledger
        assert warm.result.baseline.accuracy == off.result.baseline.accuracy
        assert not any(t.from_cache for t in (*cold.result.trials, *off.result.trials))
        known = [t.from_cache for t in warm.result.trials if t.status in ("ok", "rejected_early")]
        assert known
        assert all(known)
        assert warm.result.baseline.from_cache
        assert warm.result.samples == 0

    def test_another_strategy_finds_the_recipes_that_it_shares(self, make_quantizer):
        model = make_classifier(culprits=(1,))
        policy = {"max_trials": 3, "on_goal_not_met": "best_seen"}
        first = make_quantizer(model, strategy={"name": "basic"}, exit_policy=policy).fit()
        settings = {"strategy": {"name": "mse"}, "exit_policy": policy}
        second = make_quantizer(model, **settings).fit()
        assert first.result.trials[0].recipe == second.result.trials[0].recipe
        assert second.result.trials[0].from_cache

    def test_no_model_runs_for_what_is_known(self, make_quantizer, predictions):
        make_quantizer(strategy="basic").fit()
        assert predictions["predict"] > 0
        predictions["predict"] = 0
        make_quantizer(strategy="basic").fit()
        assert predictions["predict"] == 0

    @pytest.mark.parametrize("changed", ["data", "labels", "metric", "postprocess", "iteration"])
    def test_what_differs_in_evaluation_is_evaluated_again(self, make_quantizer, changed):
        class Stricter:
            higher_is_better = True

            def __init__(self):
                self.hits = self.total = 0

            def update(self, predictions, labels):
                self.hits += int((predictions.argmax(-1) == labels).sum())
                self.total += len(labels)

            def result(self):
                return self.hits / self.total

        make_quantizer().fit()
        quantizer = make_quantizer()
        data = make_data(make_classifier())
        if changed == "data":
            data.inputs = data.inputs.copy()
            data.inputs[33] += 1e-3
            quantizer.eval_dataloader = common.DataLoader(data, batch_size=64)
        elif changed == "labels":
            data.labels = data.labels.copy()
            data.labels[33] = (data.labels[33] + 1) % 3
            quantizer.eval_dataloader = common.DataLoader(data, batch_size=64)
        elif changed == "metric":
            quantizer.metric = Stricter
        elif changed == "postprocess":
            quantizer.postprocess = common.Postprocess(lambda pair: pair)
        else:
            quantizer.eval_dataloader = common.DataLoader(data, batch_size=32)
        result = quantizer.fit().result
        assert not result.baseline.from_cache
        assert not any(trial.from_cache for trial in result.trials)

    def test_an_opaque_function_is_evaluated_each_time_and_that_is_said(
        self, make_quantizer, caplog
    ):
        calls = []

        def evaluate(model):
            calls.append(model)
            return 0.9

        def run():
            quantizer = make_quantizer()
            quantizer.eval_dataloader = quantizer.metric = None
            quantizer.eval_func = evaluate
            calls.clear()
            with caplog.at_level("INFO"):
                quantizer.fit()
            return len(calls)

        assert run() == run() == 2
        assert "they depend on eval_func without an attribute cache_key" in caplog.text
        evaluate.cache_key = "digits, version 3"
        assert run() == 2
        assert run() == 0
        evaluate.cache_key = "digits, version 4"
        assert run() == 2

    def test_another_version_of_the_framework_is_evaluated_again(self, make_quantizer, monkeypatch):
        make_quantizer().fit()
        monkeypatch.setattr(ToyAdaptor, "versions", lambda self: {"toy": "2.0"})
        result = make_quantizer().fit().result
        assert not result.baseline.from_cache
        assert not any(trial.from_cache for trial in result.trials)

    def test_another_state_of_our_code_or_the_adaptors_is_evaluated_again(
        self, make_quantizer, predictions, calls, monkeypatch
    ):
        make_quantizer().fit()
        predictions["predict"] = calls["observe"] = 0
        monkeypatch.setattr(
            "inc_core.facade.reuse.package_version", lambda name: f"{name} worked on"
        )
        make_quantizer().fit()
        assert predictions["predict"] > 0
        assert calls["observe"] > 0

    def test_results_of_a_model_that_was_written_into_are_not_kept(
        self, make_quantizer, monkeypatch
    ):
        quantize = ToyAdaptor.quantize

        def writing(self, model, recipe, calibration):
            weight = model.nodes[0].arrays["weight"]
            weight.setflags(write=True)
            weight[0, 0] += 0.5
            return quantize(self, model, recipe, calibration)

        with monkeypatch.context() as patched:
            patched.setattr(ToyAdaptor, "quantize", writing)
            with pytest.raises(QuantizationError, match="the float model was changed"):
                make_quantizer().fit()
        result = make_quantizer().fit().result
        assert result.baseline.from_cache
        assert not any(trial.from_cache for trial in result.trials)

    def test_with_a_budget_of_time_what_is_accepted_is_measured_anew(self, make_quantizer):
        settings = {"exit_policy": {"timeout": 60, "max_trials": 3}}
        make_quantizer(**settings).fit()
        result = make_quantizer(**settings).fit().result
        assert result.best.from_cache
        assert result.best.objectives["performance"] > 0

    def test_a_resumed_run_goes_on_as_it_was(self, make_quantizer, tmp_path):
        model = make_classifier(culprits=(1, 3))
        whole = make_quantizer(model).fit().result
        warm = make_quantizer(model).fit().result
        workspace = tmp_path / "workspace"
        resumed = make_quantizer(model, workspace={"path": str(workspace), "resume": "2"})
        assert resumed.fit().result.trials == warm.trials
        assert [t.accuracy for t in warm.trials] == [t.accuracy for t in whole.trials]
