from __future__ import annotations

import numpy as np
import pytest

from inc_core import common
from inc_core.testing.toy import ToyAccuracy
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.evaluate import FunctionEvaluator, MetricEvaluator
from inc_core.tuning.indexed import IndexedFunctionEvaluator
from inc_core.tuning.loop import tune
from inc_core.tuning.noise import margin_of, measure_noise

SAMPLES = 3000


class Augmented:
    """A dataset whose inputs are different each time."""

    def __init__(self, search, sd):
        self.inputs = np.tile(search.data.inputs, (50, 1))[:SAMPLES]
        self.labels = np.tile(search.data.labels, 50)[:SAMPLES]
        self.rng = np.random.default_rng(5)
        self.sd = sd

    def __getitem__(self, index):
        noise = self.rng.normal(0, self.sd, self.inputs.shape[1]).astype(np.float32)
        return self.inputs[index] + noise, self.labels[index]

    def __len__(self):
        return SAMPLES


class Unscored(ToyAccuracy):
    """Tells nothing of single samples."""

    scores = None
    bounds = None


def evaluator_of(search, sd, metric=ToyAccuracy, order_seed=1):
    loader = common.DataLoader(Augmented(search, sd), batch_size=50)
    return MetricEvaluator(search.adaptor, loader, metric, order_seed=order_seed)


def noise_of(search, evaluator, check="auto"):
    return measure_noise(evaluator, search.model, evaluator.evaluate(search.model), check)


@pytest.mark.parametrize("metric", [ToyAccuracy, Unscored])
@pytest.mark.parametrize("check", ["auto", "full", "off"])
def test_a_deterministic_evaluation_has_no_noise(search, metric, check):
    assert noise_of(search, evaluator_of(search, 0.0, metric), check) == 0.0


@pytest.mark.parametrize("metric", [ToyAccuracy, Unscored])
def test_the_noise_of_the_whole_is_estimated_from_a_part(search, metric):
    evaluator = evaluator_of(search, 1.0, metric)
    values = [evaluator.evaluate(search.model).accuracy for _ in range(10)]
    spread = float(np.std(values, ddof=1))
    assert spread > 0
    estimates = [noise_of(search, evaluator) for _ in range(10)]
    assert 0.3 * spread < np.sqrt(np.mean(np.square(estimates))) < 3 * spread


def test_the_part_is_small(search):
    evaluator = evaluator_of(search, 0.0)
    first = evaluator.evaluate(search.model)
    before = evaluator.loader.dataset.rng.bit_generator.state
    measure_noise(evaluator, search.model, first)
    drawn = 0
    rng = np.random.default_rng()
    rng.bit_generator.state = before
    while rng.bit_generator.state != evaluator.loader.dataset.rng.bit_generator.state:
        rng.normal(0, 0.0, search.data.inputs.shape[1])
        drawn += 1
        assert drawn <= 100
    assert drawn <= 0.05 * SAMPLES


def test_a_function_of_indices_is_asked_for_some_of_them_again():
    rng = np.random.default_rng(0)
    asked = []

    def evaluate(model, indices):
        size = SAMPLES if indices is None else len(indices)
        asked.append(size)
        return (rng.random(size) < 0.7).astype(float)

    evaluator = IndexedFunctionEvaluator(evaluate, order_seed=1)
    noise = measure_noise(evaluator, None, evaluator.evaluate(None))
    assert asked == [SAMPLES, 30]
    assert noise == pytest.approx(np.sqrt(0.7 * 0.3 / SAMPLES), rel=0.5)


def test_a_function_without_indices_is_called_again_only_on_request():
    values = iter([0.8, 0.79, 0.8])
    evaluator = FunctionEvaluator(lambda model: next(values))
    first = evaluator.evaluate(None)
    assert measure_noise(evaluator, None, first) == 0.0
    assert measure_noise(evaluator, None, first, "full") == pytest.approx(0.01 / np.sqrt(2))


def test_rounding_is_no_noise():
    values = iter([1000.0, 1000.0000001])
    evaluator = FunctionEvaluator(lambda model: next(values))
    assert measure_noise(evaluator, None, evaluator.evaluate(None), "full") == 0.0


class TestGoal:
    def test_noise_tightens_it_in_either_direction(self):
        higher = Criterion(0.8, 0.01, margin=0.003)
        lower = Criterion(0.8, 0.01, higher_is_better=False, margin=0.003)
        assert higher.threshold == pytest.approx(0.8 - 0.008 + 0.003)
        assert lower.threshold == pytest.approx(0.8 + 0.008 - 0.003)
        assert higher.allowed == lower.allowed == pytest.approx(0.005)

    @pytest.mark.parametrize(
        ("accuracy", "undecidable"), [(0.796, False), (0.794, True), (0.791, True), (0.788, False)]
    )
    def test_what_is_nearer_to_it_than_the_noise_is_undecidable(self, accuracy, undecidable):
        assert Criterion(0.8, 0.01, margin=0.003).is_undecidable(accuracy) is undecidable
        assert Criterion(0.8, 0.01, higher_is_better=False, margin=0.003).is_undecidable(
            1.6 - accuracy
        ) is (undecidable)

    def test_without_noise_nothing_is_undecidable(self):
        criterion = Criterion(0.8, 0.01)
        assert not criterion.is_undecidable(criterion.threshold)


class TestSearch:
    def job(self, search, *values, lines=None):
        rest = iter(values)
        return search.job(
            evaluator=FunctionEvaluator(lambda model: next(rest)),
            noise_check="full",
            say=(lambda line: None) if lines is None else lines.append,
        )

    def test_a_noisy_evaluation_is_told_and_tightens_the_goal(self, search):
        lines = []
        result = tune(self.job(search, 0.8, 0.801, 0.7925, 0.799, lines=lines))
        noise = 0.001 / np.sqrt(2)
        assert result.baseline.noise == pytest.approx(noise)
        assert result.threshold == pytest.approx(0.792 + margin_of(noise))
        assert [trial.accepted for trial in result.trials] == [False, True]
        assert "The evaluation is not deterministic: its noise is 0.00071" in lines[1]
        assert "The goal is tightened by 0.002, to 0.7940" in lines[1]
        assert any(
            "undecidable: nearer to the goal than the evaluation's noise" in x for x in lines
        )

    def test_noise_beyond_the_allowed_loss_is_told(self, search):
        lines = []
        tune(self.job(search, 0.8, 0.83, 0.99, lines=lines))
        assert "evaluate more samples, or fix its seed" in lines[1]
