"""An evaluation in parts: what each batch gives, and the accuracy that they make together.

The parts are merged batch by batch in the order of evaluation, as ``update`` would have seen them. So
the accuracy is that of one process to the last bit, and an evaluation ends early at the same sample.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from inc_core.data.metrics import fresh_metric
from inc_core.errors import EvaluationError
from inc_core.tuning.checks import Scores, checked_accuracy
from inc_core.tuning.course import Course
from inc_core.tuning.evaluate import Evaluator, MetricEvaluator
from inc_core.tuning.sequential import Gate
from inc_core.tuning.trial import Baseline

__all__ = ["Merging", "Part", "parts_between", "why_whole"]


@dataclass(frozen=True)
class Part:
    """What one batch gives.

    Attributes:
        size: Samples.
        metric: The pickled metric that has seen this batch alone; empty if metrics cannot be merged.
        scores: Each sample's score, where there are any.
    """

    size: int
    metric: bytes
    scores: Scores | None


def why_whole(
    evaluator: Evaluator | None, gate: Gate | None, baseline: Baseline, parts: int
) -> str:
    """Return why an evaluation cannot be split over workers; empty if it can.

    Args:
        evaluator: What evaluates.
        gate: What holds the float model's scores, where there are any.
        baseline: The float model's evaluation.
        parts: How many parts there shall be.
    """
    if not isinstance(evaluator, MetricEvaluator):
        return "the user's own function evaluates in one place"
    if type(evaluator).evaluate is not MetricEvaluator.evaluate:
        return f"{type(evaluator).__name__} evaluates in a way of its own"
    count = evaluator.batch_total()
    if count is None:
        return "the evaluation data loader does not say how many batches it has"
    if count < 2 * parts:
        return f"the evaluation data has {count} batches, for {parts} parts"
    metric = fresh_metric(evaluator.metric)
    if _merges(metric):
        return ""
    name = type(metric).__name__
    scores = None if gate is None else gate.scores
    if scores is None:
        return f"the metric {name} has no merge(other), and scores of samples are not known"
    if baseline.accuracy != float(scores.mean()):
        return (
            f"the metric {name} has no merge(other), and the scores' mean is not its exact result"
        )
    return ""


def parts_between(evaluator: MetricEvaluator, model: Any, first: int, last: int) -> Iterator[Part]:
    """Evaluate a native model on some batches; yield what each gives.

    Raises:
        EvaluationError: If labels are missing. Errors of data, model and metric pass through.
    """
    for pair, size in evaluator.pairs_between(model, first, last):
        metric = fresh_metric(evaluator.metric)
        score = getattr(metric, "scores", None)
        scores = score(*pair) if callable(score) else None
        merges = _merges(metric)
        if merges:
            metric.update(*pair)
        yield Part(
            size,
            _pickled(metric) if merges else b"",
            None if scores is None else np.asarray(scores, np.float64),
        )


def _merges(metric: Any) -> bool:
    return callable(getattr(metric, "merge", None))


def _pickled(metric: Any) -> bytes:
    try:
        return pickle.dumps(metric)
    except (pickle.PicklingError, AttributeError, TypeError):  # its class came as code
        import cloudpickle

        return bytes(cloudpickle.dumps(metric))


class Merging:
    """Takes the parts in order and says what the evaluation gives.

    Args:
        evaluator: Whose metric it is.
        gate: When the evaluation may end early; ``None`` never.
    """

    def __init__(self, evaluator: MetricEvaluator, gate: Gate | None) -> None:
        metric = copy.deepcopy(fresh_metric(evaluator.metric))
        self._range = getattr(metric, "result_range", None)
        # messages name the class of what is evaluated
        self._merged: _Merged = type(type(metric).__name__, (_Merged,), {})(metric)
        self._course = Course(self._merged, gate)

    @property
    def samples(self) -> int:
        """How many samples were taken."""
        return self._course.samples

    def add(self, part: Part) -> float | None:
        """Take a part; return an estimate of the accuracy if the goal is out of reach."""
        return self._course.update((part, None), part.size)

    def accuracy(self) -> float:
        """Return the accuracy over everything.

        Raises:
            EvaluationError: If it is not one finite number.
        """
        source = f"{type(self._merged).__name__}.result()"
        return checked_accuracy(self._merged.result(), source, self._range)


class _Merged:
    """A metric whose batches are parts."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._scores: list[Scores] = []
        if callable(getattr(metric, "bounds", None)):
            self.bounds = metric.bounds

    def scores(self, part: Part, labels: None) -> Scores | None:
        return part.scores

    def update(self, part: Part, labels: None) -> None:
        if part.metric:
            self._metric.merge(pickle.loads(part.metric))
        elif part.scores is not None:
            self._scores.append(part.scores)
        else:
            raise EvaluationError(
                f"the metric {type(self).__name__} gave no scores for a batch, and has no merge(other)"
            )

    def result(self) -> Any:
        if not self._scores:
            return self._metric.result()
        return float(np.concatenate(self._scores).mean())
