"""How good a model is: evaluators over a metric and data, or over the user's own function."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from inc_core.data.batches import Batch, iter_batches
from inc_core.data.metrics import fresh_metric
from inc_core.errors import EvaluationError
from inc_core.hookspecs.adaptor import Adaptor

__all__ = [
    "Evaluation",
    "Evaluator",
    "FunctionEvaluator",
    "MetricEvaluator",
    "checked_accuracy",
]

Postprocess = Callable[[tuple[Any, Any]], tuple[Any, Any]]
Watch = Callable[[Iterable[Batch]], Iterable[Batch]]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of one model.

    Attributes:
        accuracy: The metric's value, finite.
        samples: How many samples were seen; 0 if an opaque function did it.
        seconds: Wall time.
    """

    accuracy: float
    samples: int
    seconds: float


class Evaluator(Protocol):
    """Gives a model's accuracy."""

    def evaluate(self, model: Any) -> Evaluation:
        """Evaluate a native model, float or quantized."""


class MetricEvaluator:
    """Evaluates by prediction, postprocessing and a metric that starts afresh each time.

    Args:
        adaptor: What predicts.
        loader: An iterable of ``(inputs, labels)`` batches; iterated once per evaluation.
        metric: A metric class, instance or holder, as ``fresh_metric`` takes it.
        postprocess: Called in order on ``(outputs, labels)``, each returning such a pair.
        iteration: How many batches are evaluated; -1 takes all.
        watch: Wraps the batches, to show progress.
    """

    def __init__(
        self,
        adaptor: Adaptor,
        loader: Any,
        metric: Any,
        postprocess: Sequence[Postprocess] = (),
        iteration: int = -1,
        watch: Watch | None = None,
    ) -> None:
        self.adaptor = adaptor
        self.loader = loader
        self.metric = metric
        self.postprocess = tuple(postprocess)
        self.iteration = iteration
        self.watch = watch

    @property
    def higher_is_better(self) -> bool | None:
        """The direction that the metric states; ``None`` if it states none."""
        # asked of an instance: a factory, such as a metric named in YAML has, says nothing
        return getattr(fresh_metric(self.metric), "higher_is_better", None)

    def over(self, loader: Any) -> MetricEvaluator:
        """Return the same evaluation over other data."""
        return MetricEvaluator(
            self.adaptor, loader, self.metric, self.postprocess, self.iteration, self.watch
        )

    def evaluate(self, model: Any) -> Evaluation:
        """Evaluate a native model.

        Raises:
            EvaluationError: If there is no batch, labels are missing, or the metric's result is not
                one finite number. Errors of data, model and metric pass through.
        """
        start = time.perf_counter()
        metric = fresh_metric(self.metric)
        samples = 0
        for batch in self._batches():
            if batch.labels is None:
                raise EvaluationError(
                    "the evaluation dataloader gives no labels, and the metric "
                    f"{type(metric).__name__} compares with labels. Yield (inputs, labels) pairs, "
                    "or set eval_func."
                )
            pair = (self.adaptor.predict(model, batch.inputs), batch.labels)
            for transform in self.postprocess:
                pair = transform(pair)
            metric.update(*pair)
            samples += batch.size
        if samples == 0:
            raise EvaluationError(
                "the evaluation dataloader is empty: it gave no sample. Check its dataset and "
                "filter; a loader that is a generator can be used only once, so give an iterable."
            )
        accuracy = checked_accuracy(metric.result(), f"{type(metric).__name__}.result()")
        return Evaluation(accuracy, samples, time.perf_counter() - start)

    def _batches(self) -> Iterator[Batch]:
        batches: Iterable[Batch] = iter_batches(self.loader)
        if self.iteration >= 0:
            batches = islice(batches, self.iteration)
        return iter(batches if self.watch is None else self.watch(batches))


class FunctionEvaluator:
    """Evaluates by the user's ``eval_func(model)``.

    Args:
        eval_func: Takes what ``present`` returns and gives one number.
        present: Turns the native model into what the user's function can call.
    """

    def __init__(
        self,
        eval_func: Callable[[Any], Any],
        present: Callable[[Any], Any] = lambda model: model,
    ) -> None:
        self.eval_func = eval_func
        self.present = present

    def evaluate(self, model: Any) -> Evaluation:
        """Evaluate a native model.

        Raises:
            EvaluationError: If the function does not return one finite number. What it raises
                itself passes through.
        """
        start = time.perf_counter()
        accuracy = checked_accuracy(self.eval_func(self.present(model)), "eval_func")
        return Evaluation(accuracy, 0, time.perf_counter() - start)


def checked_accuracy(value: Any, source: str = "the evaluation") -> float:
    """Return ``value`` as a float, or say what is wrong with it.

    Python and numpy numbers are taken, and arrays or tensors of shape ``()``.

    Raises:
        EvaluationError: If it is ``None``, no single number, NaN or infinite.
    """
    if value is None:
        raise EvaluationError(f"{source} returned None. Does it end without a return statement?")
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if not isinstance(value, numbers.Real):
        raise EvaluationError(
            f"{source} returned {_shown(value)} of type {type(value).__name__}; "
            "one number is needed. Return the accuracy alone, such as results[0] or their mean."
        )
    if not math.isfinite(value):
        raise EvaluationError(f"{source} returned {float(value)!r}, which is no accuracy")
    return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
