from __future__ import annotations

import numpy as np
import pytest

from inc_core import Quantization, common
from inc_core.errors import GoalNotMetError
from inc_core.testing.toy import ToyAccuracy, make_classifier, make_data

CULPRIT = make_classifier(culprits=[1], spread=100.0)


class Scored(ToyAccuracy):
    def scores(self, predictions, labels):
        return np.asarray(predictions).argmax(axis=-1) == labels


@pytest.fixture
def quantizer_with(make_quantizer):
    def make(**tuning):
        quantizer = make_quantizer(CULPRIT, strategy={"name": "mse"}, **tuning)
        quantizer.eval_dataloader = common.DataLoader(make_data(CULPRIT), batch_size=8)
        quantizer.metric = Scored
        return quantizer

    return make


def test_hopeless_trials_are_rejected_early_and_the_model_is_exact(quantizer_with):
    tuned = quantizer_with().fit()
    assert tuned.goal_met
    assert "rejected_early" in {trial.status for trial in tuned.result.trials}
    assert tuned.result.best.samples == 256
    assert tuned.facts["float_ops"].keys() == {"fc1"}


def test_early_stop_false_evaluates_all_samples(quantizer_with):
    tuned = quantizer_with(early_stop=False).fit()
    assert {trial.samples for trial in tuned.result.trials} == {256}


def test_the_model_of_a_goal_that_is_not_met_has_an_exact_accuracy_too(quantizer_with):
    quantizer = quantizer_with(exit_policy={"max_trials": 1})
    with pytest.raises(GoalNotMetError):
        quantizer.fit()
    tuned = quantizer.best_seen()
    data = make_data(CULPRIT)
    right = tuned.predict(data.inputs).argmax(axis=1) == data.labels
    assert tuned.facts["accuracy"]["final"] == right.mean()


def test_eval_func_with_indices_is_stopped_early(plugins, tmp_path):
    data = make_data(CULPRIT)
    asked = []

    def evaluate(model, indices=None):
        rows = slice(None) if indices is None else indices
        asked.append(len(data.labels[rows]))
        from inc_core.testing.toy.kernels import run

        return run(model, {"x": data.inputs[rows]})[0].argmax(axis=1) == data.labels[rows]

    conf = {
        "tuning": {"workspace": {"path": str(tmp_path)}, "strategy": {"name": "mse"}},
    }
    quantizer = Quantization(conf, plugins=plugins)
    quantizer.model = CULPRIT
    quantizer.calib_dataloader = common.DataLoader(data, batch_size=16)
    quantizer.eval_func = evaluate
    tuned = quantizer.fit()
    assert tuned.goal_met
    assert tuned.result.baseline.samples == asked[0] == 256
    assert "rejected_early" in {trial.status for trial in tuned.result.trials}
    assert sum(asked) < 256 * (len(tuned.result.trials) + 1)
