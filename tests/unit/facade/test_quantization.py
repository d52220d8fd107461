from __future__ import annotations

import itertools
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inc_core import Quantization, common
from inc_core.errors import (
    CalibrationError,
    ComponentNotFoundError,
    ConfigError,
    DataError,
    EvaluationError,
    GoalNotMetError,
    IncError,
)
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data

HOPELESS = [0, 1, 2, 3]  # every layer breaks under int8


def test_a_model_that_survives_int8_is_accepted_at_the_first_trial(make_quantizer):
    tuned = make_quantizer().fit()
    assert tuned.goal_met
    assert [trial.status for trial in tuned.result.trials] == ["ok"]
    assert set(tuned.recipe.precisions()) == {"int8"}


def test_a_culprit_stays_float_and_the_ledger_says_why(make_quantizer):
    tuned = make_quantizer(make_classifier(culprits=[2])).fit()
    assert tuned.goal_met
    assert list(tuned.facts["float_ops"]) == ["fc2"]
    assert "goal was met" in tuned.facts["float_ops"]["fc2"]


def test_channel_spread_is_repaired_by_equalization(make_quantizer):
    tuned = make_quantizer(make_classifier(spread_layers=[2])).fit()
    assert "cross_layer_equalization" in tuned.recipe.options
    assert set(tuned.recipe.precisions()) == {"int8"}
    assert len(tuned.result.trials) == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_the_order_of_assignments_does_not_matter(plugins, tmp_path, order):
    model = make_classifier()
    data = make_data(model)
    parts = [
        ("model", model),
        ("calib_dataloader", common.DataLoader(data, batch_size=16)),
        ("eval_dataloader", common.DataLoader(data, batch_size=64)),
        ("metric", common.Metric(ToyAccuracy)),
    ]
    conf = {"tuning": {"workspace": {"path": str(tmp_path)}}}
    quantizer = Quantization(conf, plugins=plugins)
    for index in order:
        setattr(quantizer, *parts[index])
    assert quantizer.fit().goal_met


def test_the_old_call_style_is_the_same_class(plugins, tmp_path):
    model = make_classifier()
    data = make_data(model)
    conf = {"tuning": {"workspace": {"path": str(tmp_path)}}}
    seen = []

    def accuracy(native: Any) -> float:
        seen.append(native)
        return 0.5

    loader = common.DataLoader(data, batch_size=16)
    tuned = Quantization(conf, plugins=plugins)(model, q_dataloader=loader, eval_func=accuracy)
    assert tuned.goal_met
    assert all(isinstance(native, type(model)) for native in seen)


def test_a_hopeless_goal_raises_with_every_trial_and_the_best_can_be_built(make_quantizer):
    quantizer = make_quantizer(make_classifier(culprits=HOPELESS), exit_policy={"max_trials": 3})
    with pytest.raises(GoalNotMetError, match=r"best_seen\(\) builds it") as caught:
        quantizer.fit()
    assert len(caught.value.result.trials) == 3
    best = quantizer.best_seen()
    assert not best.goal_met
    assert best.predict(np.zeros((2, 16), np.float32)).shape == (2, 4)


def test_best_seen_is_returned_and_marked_where_the_policy_says_so(make_quantizer):
    policy = {"max_trials": 2, "on_goal_not_met": "best_seen"}
    tuned = make_quantizer(make_classifier(culprits=HOPELESS), exit_policy=policy).fit()
    assert not tuned.goal_met
    assert "NOT met" in tuned.report()


def test_without_evaluation_data_one_conversion_is_made_and_said(make_quantizer):
    quantizer = make_quantizer()
    quantizer.eval_dataloader = quantizer.metric = None
    tuned = quantizer.fit()
    assert tuned.facts["accuracy"]["final"] is None
    assert "NOT evaluated" in tuned.report()


@pytest.mark.parametrize("part", ["metric", "eval_dataloader"])
def test_half_an_evaluation_is_an_error_that_names_the_other_half(make_quantizer, part):
    quantizer = make_quantizer()
    setattr(quantizer, part, None)
    with pytest.raises(ConfigError, match="performance_only: true"):
        quantizer.fit()


def test_a_missing_model_is_named(make_quantizer):
    quantizer = make_quantizer()
    quantizer.model = None
    with pytest.raises(ConfigError, match=r"set quantizer\.model"):
        quantizer.fit()


def test_missing_calibration_data_is_named(make_quantizer):
    quantizer = make_quantizer()
    quantizer.calib_dataloader = None
    with pytest.raises(ConfigError, match="needs calibration data"):
        quantizer.fit()


def test_a_mistyped_attribute_is_an_error_with_the_closest_name(make_quantizer):
    with pytest.raises(AttributeError, match="Did you mean 'eval_dataloader'"):
        make_quantizer().eval_loader = []


def test_a_training_function_without_the_approach_for_it_is_an_error(make_quantizer):
    quantizer = make_quantizer()
    quantizer.q_func = lambda model: model
    with pytest.raises(ConfigError, match="approach is 'static'; write quant_aware_training"):
        quantizer.fit()


def test_a_metric_without_reset_starts_afresh_in_every_trial(make_quantizer):
    class WithoutReset:
        def __init__(self) -> None:
            self.hits = self.total = 0

        def update(self, predictions, labels):
            self.hits += int((predictions.argmax(-1) == labels).sum())
            self.total += len(labels)

        def result(self):
            return self.hits / self.total

    for metric in (WithoutReset, WithoutReset(), common.Metric(WithoutReset)):
        quantizer = make_quantizer(make_classifier(culprits=[2]))
        quantizer.metric = metric
        assert quantizer.fit().facts["accuracy"]["baseline"] == 1.0


def test_an_empty_loader_is_named(make_quantizer):
    quantizer = make_quantizer()
    quantizer.calib_dataloader = []
    with pytest.raises(CalibrationError, match="gave no sample"):
        quantizer.fit()


class Torn:
    """A dataset with a file that cannot be read."""

    def __init__(self, data, at):
        self.data, self.at = data, at

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        if index == self.at:
            raise KeyError("file 37.jpg")
        return self.data[index]


@pytest.mark.parametrize("at", [0, 37])
def test_a_dataset_that_raises_ends_calibration_with_its_place(make_quantizer, at):
    """At once: no recipe is to blame, and none is tried."""
    quantizer = make_quantizer()
    torn = Torn(make_data(make_classifier()), at)
    quantizer.calib_dataloader = common.DataLoader(torn, batch_size=16)
    message = (
        r"the calibration data cannot be read: KeyError: 'file 37.jpg' \[at test_quantization.py"
    )
    with pytest.raises(DataError, match=message):
        quantizer.fit()


def test_configured_data_that_nobody_needs_are_left_out(plugins, tmp_path, caplog):
    """An old file names a dataset of the original, and the script evaluates by itself."""
    dataset = {"ImagenetRaw": {"data_path": "/path/to/dataset"}}
    conf = {
        "evaluation": {"accuracy": {"metric": {"topk": 1}, "dataloader": {"dataset": dataset}}},
        "tuning": {"workspace": {"path": str(tmp_path)}},
    }
    quantizer = Quantization(conf, plugins=plugins)
    quantizer.model = make_classifier()
    quantizer.calib_dataloader = common.DataLoader(make_data(make_classifier()), batch_size=16)
    with pytest.raises(ComponentNotFoundError, match="ImagenetRaw"):
        quantizer.fit()
    quantizer.eval_func = lambda model: 0.9
    assert quantizer.fit().goal_met
    assert "evaluation.accuracy.dataloader is left out" in caplog.text


def test_a_device_that_the_framework_does_not_run_on_is_refused(plugins):
    quantizer = Quantization({"device": "gpu"}, plugins=plugins)
    quantizer.model = make_classifier()
    with pytest.raises(ConfigError, match="device: gpu, but models of 'toy' run on cpu here"):
        quantizer.fit()


def test_a_switch_that_nobody_reads_is_told(plugins, caplog):
    conf = {"quantization": {"approach": "dynamic", "recipes": {"smooth_quant": True}}}
    quantizer = Quantization(conf, plugins=plugins)
    quantizer.model = common.Model(make_classifier(), modelType="toy")
    quantizer.check()
    assert "quantization.recipes.smooth_quant has no effect" in caplog.text
    assert "common.Model: modelType has no effect" in caplog.text


class InShares(ToyAccuracy):
    result_range = (0.0, 1.0)


def test_a_goal_in_per_cent_is_told(make_quantizer, caplog):
    quantizer = make_quantizer(accuracy_criterion={"absolute": 1})
    quantizer.metric = InShares
    quantizer.fit()
    assert "any model meets the goal" in caplog.text


@pytest.mark.parametrize(
    "tuning", [{"strategy": "tpe"}, {"strategy": {"name": "basic", "x": 1}}, {"objective": "fast"}]
)
def test_check_finds_what_cannot_be_made(make_quantizer, tuning):
    with pytest.raises((ComponentNotFoundError, ConfigError), match=r"tpe|unknown parameter|fast"):
        make_quantizer(**tuning).check()


def test_check_estimates_no_more_calibration_than_there_is_data(plugins):
    quantizer = Quantization(
        {"quantization": {"calibration": {"sampling_size": 10**9}}}, plugins=plugins
    )
    quantizer.model = make_classifier()
    quantizer.calib_dataloader = common.DataLoader(make_data(make_classifier()), batch_size=16)
    assert quantizer.check().estimate["calibration"] < 1000  # seconds; 60 million batches take more


def test_check_lists_ops_on_request(make_quantizer):
    report = make_quantizer().check()
    assert "fc2" not in report.render()
    assert "op            fc2 (Linear)" in report.render(names=True)


def test_a_loader_without_labels_is_named(make_quantizer):
    quantizer = make_quantizer()
    quantizer.eval_dataloader = [np.zeros((4, 16), np.float32)]
    with pytest.raises(EvaluationError, match="no labels"):
        quantizer.fit()


def test_a_generator_as_loader_is_refused(make_quantizer):
    quantizer = make_quantizer()
    quantizer.eval_dataloader = (pair for pair in [(np.zeros((4, 16), np.float32), np.zeros(4))])
    with pytest.raises(DataError, match="once"):
        quantizer.fit()


def test_nan_in_calibration_names_the_tensor(make_quantizer):
    quantizer = make_quantizer()
    quantizer.calib_dataloader = [(np.full((4, 16), np.nan, np.float32), np.zeros(4))]
    with pytest.raises(CalibrationError, match=r"'x'.*NaN"):
        quantizer.fit()


def test_a_metric_that_raises_ends_at_the_baseline_with_its_cause(make_quantizer):
    class Broken(ToyAccuracy):
        def result(self):
            raise RuntimeError("no ground truth")

    quantizer = make_quantizer()
    quantizer.metric = Broken
    with pytest.raises(EvaluationError, match="no ground truth"):
        quantizer.fit()


def test_wrong_input_shapes_are_named(make_quantizer):
    quantizer = make_quantizer()
    quantizer.eval_dataloader = [(np.zeros((4, 3), np.float32), np.zeros(4))]
    with pytest.raises(IncError, match=r"\(4, 3\)"):
        quantizer.fit()


def test_a_pattern_that_matches_no_op_is_an_error_with_the_closest(plugins, tmp_path):
    conf = {"quantization": {"op_wise": {"fc9": {"weight": {"dtype": "fp32"}}}}}
    quantizer = Quantization(conf, plugins=plugins)
    quantizer.model = make_classifier()
    with pytest.raises(ConfigError, match=r"op_wise\['fc9'\].*Did you mean 'fc"):
        quantizer.fit()


def test_an_unfinished_run_resumes_and_repeats_nothing(make_quantizer):
    model = make_classifier(culprits=[2])
    evaluated: list[int] = []

    class Counting(ToyAccuracy):
        stop_after = 0

        def result(self):
            evaluated.append(1)
            if len(evaluated) == self.stop_after:
                raise KeyboardInterrupt
            return super().result()

    reference = make_quantizer(model)
    undisturbed = reference.fit()

    interrupted = make_quantizer(model, noise_check="off")
    interrupted.metric = Counting
    Counting.stop_after = 3
    with pytest.raises(GoalNotMetError):
        interrupted.fit()
    finished = len(evaluated) - 2  # less the baseline and the interrupted one
    Counting.stop_after = 0
    evaluated.clear()
    resumed = make_quantizer(model, noise_check="off")
    resumed.metric = Counting
    tuned = resumed.fit()
    assert tuned.recipe == undisturbed.recipe
    assert len(evaluated) == len(tuned.result.trials) - finished


def test_on_a_full_disk_the_model_is_returned_and_the_history_said_to_be_incomplete(
    make_quantizer, caplog
):
    model = make_classifier(culprits=[2])
    expected = make_quantizer(model).fit()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        tuned = make_quantizer(model).fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert tuned.recipe == expected.recipe
    assert not tuned.result.history_complete
    assert not tuned.facts["search"]["history_complete"]
    assert "its history will be incomplete" in caplog.text.replace("\n", " ")


def test_check_sends_one_batch_through_every_stage(make_quantizer, tmp_path: Path):
    report = make_quantizer().check()
    assert report.framework == "toy"
    assert report.ops == {"Linear": 4}
    assert {"calibrate", "quantize", "float inference", "quantized inference"} <= set(report.stages)
    assert "one trial" in report.estimate
    assert not (tmp_path / "workspace").exists()


def test_a_user_setting_of_a_rewrite_that_changes_nothing_is_an_error(plugins):
    conf = {"quantization": {"recipes": {"cross_layer_equalization": True}}}
    quantizer = Quantization(conf, plugins=plugins)
    quantizer.model = make_classifier(layers=1)
    with pytest.raises(ConfigError, match="changes nothing for this model"):
        quantizer.fit()
