"""Whether an evaluation gives the same twice, and what follows for the goal if it does not."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias

import numpy as np

from inc_core.data.order import random_order
from inc_core.tuning.checks import checked_scores
from inc_core.tuning.evaluate import Evaluation, Evaluator, MetricEvaluator
from inc_core.tuning.indexed import IndexedFunctionEvaluator

__all__ = ["NoiseCheck", "margin_of", "measure_noise"]

NoiseCheck: TypeAlias = Literal["auto", "full", "off"]

# The part that is evaluated once more: it must not cost what the search is meant to save, and random
# augmentation or dropout change some of any 16 samples' scores, or the metric of 256.
SHARE = 0.01
LEAST_SAMPLES, MOST_SAMPLES = 16, 256

# Sums in another order, as threads make them, differ by this much of themselves: no noise.
NEGLIGIBLE = 1e-6

# A trial and the float model are both noisy; beyond two standard deviations of their difference a
# decision is right in 19 cases of 20.
MARGIN_SDS = 2.0


def measure_noise(
    evaluator: Evaluator, model: Any, first: Evaluation, check: NoiseCheck = "auto"
) -> float:
    """Evaluate the float model a second time; return the noise of a whole evaluation.

    Args:
        evaluator: What evaluated it before.
        model: The float model.
        first: What was found.
        check: ``"auto"`` evaluates a part of the data, where the evaluator can; ``"full"`` all of
            it, which is the only way for ``eval_func(model)``; ``"off"`` nothing.

    Returns:
        Standard deviation of the accuracy, in units of the metric; 0 if both passes agree.

    Raises:
        EvaluationError: As the evaluation. Errors of data, model and metric pass through.
    """
    if check == "off":
        return 0.0
    if check == "full":
        noise = _of_two(first.accuracy, evaluator.evaluate(model).accuracy)
    elif isinstance(evaluator, MetricEvaluator):
        noise = _of_metric(evaluator.first(_part(first.samples)), model, first)
    elif isinstance(evaluator, IndexedFunctionEvaluator) and first.scores is not None:
        noise = _of_function(evaluator, model, first)
    else:
        noise = 0.0
    return noise if noise > NEGLIGIBLE * abs(first.accuracy) else 0.0


def margin_of(noise: float) -> float:
    """Return by how much a goal is tightened, so that noise hardly ever decides for a bad model."""
    return MARGIN_SDS * math.sqrt(2.0) * noise


def _part(samples: int) -> int:
    return max(LEAST_SAMPLES, min(MOST_SAMPLES, math.ceil(SHARE * samples)))


def _of_metric(part: MetricEvaluator, model: Any, first: Evaluation) -> float:
    again = part.evaluate(model)
    if first.scores is not None and again.scores is not None:
        return _of_scores(first.scores[: len(again.scores)], again.scores, first.samples)
    noise = _of_two(again.accuracy, part.evaluate(model).accuracy)
    return noise * math.sqrt(again.samples / first.samples)


def _of_function(evaluator: IndexedFunctionEvaluator, model: Any, first: Evaluation) -> float:
    assert first.scores is not None
    order = random_order(first.samples, evaluator.order_seed)[: _part(first.samples)]
    again = checked_scores(
        evaluator.eval_func(evaluator.presented(model), order), len(order), "eval_func"
    )
    return _of_scores(first.scores[: len(order)], again, first.samples)


def _of_scores(first: Any, second: Any, samples: int) -> float:
    """Return the noise of the mean of all scores, from the differences of some."""
    of_one = math.sqrt(float(np.mean(np.square(first - second))) / 2)
    return of_one / math.sqrt(samples)


def _of_two(first: float, second: float) -> float:
    return abs(first - second) / math.sqrt(2.0)
