"""How good a model is: evaluators over a metric and data, or over the user's own function."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Literal, Protocol, runtime_checkable

from inc_core.data.batches import Batch, in_pieces, iter_batches
from inc_core.data.content import ContentDigest, reads_alike
from inc_core.data.identity import restored_random_state
from inc_core.data.metrics import fresh_metric
from inc_core.data.order import in_random_order
from inc_core.data.spans import batch_total, batches_between
from inc_core.errors import EvaluationError
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.tuning.batch_seconds import BatchSeconds
from inc_core.tuning.checks import Scores, checked_accuracy
from inc_core.tuning.course import Course
from inc_core.tuning.sequential import Gate

__all__ = [
    "Evaluation",
    "Evaluator",
    "FunctionEvaluator",
    "MetricEvaluator",
    "Scoring",
    "ScreeningEvaluator",
    "checked_accuracy",
]

Postprocess = Callable[[tuple[Any, Any]], tuple[Any, Any]]
Watch = Callable[[Iterable[Batch]], Iterable[Batch]]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of one model.

    Attributes:
        accuracy: The metric's value, finite; an estimate if the evaluation ended early.
        samples: How many samples were seen; 0 if an opaque function did it.
        seconds: Wall time.
        stopped_early: Whether it ended before the data did, because the goal was out of reach.
        scores: Each sample's score in the order of evaluation, where they are known.
        batch_seconds: How long predictions took; ``None`` where something else ran meanwhile.
    """

    accuracy: float
    samples: int
    seconds: float
    stopped_early: bool = False
    scores: Scores | None = field(default=None, compare=False, repr=False)
    batch_seconds: BatchSeconds | None = field(default=None, compare=False, repr=False)


class Evaluator(Protocol):
    """Gives a model's accuracy."""

    def evaluate(self, model: Any) -> Evaluation:
        """Evaluate a native model, float or quantized."""


@dataclass(frozen=True)
class Scoring:
    """What an evaluator knows before its last sample.

    Attributes:
        kind: Scores of single samples, bounds on the result, or nothing.
        reason: Why it is nothing, for the user.
        score_range: Least and largest score.
        random_order: Whether samples come in random order.
    """

    kind: Literal["scores", "bounds", "none"]
    reason: str = ""
    score_range: tuple[float, float] = (0.0, 1.0)
    random_order: bool = False


@runtime_checkable
class ScreeningEvaluator(Evaluator, Protocol):
    """An evaluator that may end early; the order of samples is the same every time."""

    def scoring(self) -> Scoring:
        """Say what is known before the last sample."""

    def screen(self, model: Any, gate: Gate) -> Evaluation:
        """Evaluate, and stop as soon as the goal is out of reach; a pass is evaluated to the end."""


class MetricEvaluator:
    """Evaluates by prediction, postprocessing and a metric that starts afresh each time.

    Args:
        adaptor: What predicts.
        loader: An iterable of ``(inputs, labels)`` batches; iterated once per evaluation.
        metric: A metric class, instance or holder, as ``fresh_metric`` takes it.
        postprocess: Called in order on ``(outputs, labels)``, each returning such a pair.
        iteration: How many batches are evaluated; -1 takes all.
        watch: Wraps the batches, to show progress.
        order_seed: Of the random order in which samples are taken if the metric scores single
            samples and the loader allows it; ``None`` keeps the loader's order.
        pieces: Into how many each batch is cut, to take less memory.

    Attributes:
        content: Digest of every input and label, once it is known.
        notes_content: Whether the next evaluation to the end finds it out.
    """

    def __init__(
        self,
        adaptor: Adaptor,
        loader: Any,
        metric: Any,
        postprocess: Sequence[Postprocess] = (),
        iteration: int = -1,
        watch: Watch | None = None,
        order_seed: int | None = None,
        pieces: int = 1,
    ) -> None:
        self.adaptor = adaptor
        self.loader = loader
        self.metric = metric
        self.postprocess = tuple(postprocess)
        self.iteration = iteration
        self.watch = watch
        self.order_seed = order_seed
        self.pieces = pieces
        self.content: str | None = None
        self.notes_content = False

    def __getstate__(self) -> dict[str, Any]:
        # a copy in another process has no terminal to show progress on
        return {**vars(self), "watch": None}

    @property
    def higher_is_better(self) -> bool | None:
        """The direction that the metric states; ``None`` if it states none."""
        # asked of an instance: a factory, such as a metric named in YAML has, says nothing
        return getattr(fresh_metric(self.metric), "higher_is_better", None)

    @property
    def result_range(self) -> tuple[float, float] | None:
        """The least and largest result that the metric states; ``None`` if it states none."""
        return getattr(fresh_metric(self.metric), "result_range", None)

    def over(self, loader: Any) -> MetricEvaluator:
        """Return the same evaluation over other data."""
        return MetricEvaluator(
            self.adaptor,
            loader,
            self.metric,
            self.postprocess,
            self.iteration,
            self.watch,
            self.order_seed,
            self.pieces,
        )

    def in_pieces(self, pieces: int) -> MetricEvaluator:
        """Return the same evaluation with every batch cut into so many."""
        evaluator = self.over(self.loader)
        evaluator.pieces = pieces
        return evaluator

    @property
    def reads_alike(self) -> bool:
        """Whether each evaluation is of the same samples in the same order, as far as it shows."""
        return self._taken is not self.loader or reads_alike(self.loader)

    def read_content(self) -> None:
        """Find out ``content`` without running a model."""
        digest = ContentDigest()
        with restored_random_state():
            for batch in self._batches():
                digest.add((batch.inputs, batch.labels))
        self.content = digest.hexdigest()

    def first(self, samples: int) -> MetricEvaluator:
        """Return the same evaluation of the first batches that hold so many samples."""
        part = self.over(_Head(self._taken, samples))
        part.order_seed, part.iteration = None, -1  # the order is already that of this evaluation
        return part

    def scoring(self) -> Scoring:
        """Say what the metric tells before the last sample."""
        metric = fresh_metric(self.metric)
        score_range = getattr(metric, "score_range", (0.0, 1.0))
        if callable(getattr(metric, "scores", None)) and score_range is not None:
            lo, hi = map(float, score_range)
            return Scoring("scores", "", (lo, hi), self._reordered is not None)
        if callable(getattr(metric, "bounds", None)):
            return Scoring("bounds")
        missing = "neither scores() nor bounds()" if score_range else "no score_range"
        return Scoring("none", f"the metric {type(metric).__name__} has {missing}")

    def evaluate(self, model: Any) -> Evaluation:
        """Evaluate a native model.

        Raises:
            EvaluationError: If there is no batch, labels are missing, or the metric's result is not
                one finite number. Errors of data, model and metric pass through.
        """
        return self._run(model, None)

    def screen(self, model: Any, gate: Gate) -> Evaluation:
        """Evaluate a native model, and stop where it can no longer (or hardly) meet the goal.

        Raises:
            EvaluationError: As ``evaluate``, and if scores are outside of the metric's range.
        """
        return self._run(model, gate)

    def _run(self, model: Any, gate: Gate | None) -> Evaluation:
        start = time.perf_counter()
        metric = fresh_metric(self.metric)
        course = Course(metric, gate)
        # threads or processes that load data disturb the predictions
        timed = None if getattr(self.loader, "num_workers", 0) else BatchSeconds()
        digest = ContentDigest() if self.notes_content and self.content is None else None
        for batch in self._batches():
            if digest is not None:
                digest.add((batch.inputs, batch.labels))
            estimate = course.update(self._pair(model, batch, timed), batch.size)
            if estimate is not None:
                seconds = time.perf_counter() - start
                return Evaluation(estimate, course.samples, seconds, stopped_early=True)
        if course.samples == 0:
            raise EvaluationError(
                "the evaluation dataloader is empty: it gave no sample. Check its dataset and "
                "filter; a loader that is a generator can be used only once, so give an iterable."
            )
        accuracy = checked_accuracy(
            metric.result(),
            f"{type(metric).__name__}.result()",
            getattr(metric, "result_range", None),
        )
        if digest is not None:
            self.content = digest.hexdigest()
        seconds = time.perf_counter() - start
        return Evaluation(
            accuracy, course.samples, seconds, scores=course.scores(), batch_seconds=timed
        )

    def _pair(self, model: Any, batch: Batch, timed: BatchSeconds | None = None) -> tuple[Any, Any]:
        """Return what the metric is given for a batch."""
        if batch.labels is None:
            raise EvaluationError(
                "the evaluation dataloader gives no labels, and the metric "
                f"{type(fresh_metric(self.metric)).__name__} compares with labels. Yield (inputs, "
                "labels) pairs, or set eval_func."
            )
        start = time.perf_counter()
        pair = (self.adaptor.predict(model, batch.inputs), batch.labels)
        if timed is not None:
            timed.add(batch.inputs, time.perf_counter() - start)
        for transform in self.postprocess:
            pair = transform(pair)
        return pair

    def batch_total(self) -> int | None:
        """Return how many batches an evaluation has; ``None`` if the loader does not say."""
        return batch_total(self._taken, self.iteration)

    def pairs_between(
        self, model: Any, first: int, last: int
    ) -> Iterator[tuple[tuple[Any, Any], int]]:
        """Yield what the metric is given for batches ``first`` to ``last - 1``, and its size.

        Raises:
            EvaluationError: If labels are missing. Errors of data and model pass through.
        """
        for whole in batches_between(self._taken, first, last):
            for batch in in_pieces(whole, self.pieces):
                yield self._pair(model, batch), batch.size

    @cached_property
    def _reordered(self) -> Any:
        """The loader in random order; ``None`` where its own order is kept."""
        if self.order_seed is None:
            return None
        return in_random_order(self.loader, self.order_seed, self.iteration)

    @property
    def _taken(self) -> Any:
        """The loader, or its samples in random order."""
        # a metric without scores may depend on the order, which is the user's
        scored = self.order_seed is not None and self.scoring().kind == "scores"
        reordered = self._reordered if scored else None
        return self.loader if reordered is None else reordered

    def _batches(self) -> Iterator[Batch]:
        batches: Iterable[Batch] = iter_batches(self._taken)
        if self.iteration >= 0:
            batches = islice(batches, self.iteration)
        if self.pieces > 1:
            batches = (part for batch in batches for part in in_pieces(batch, self.pieces))
        return iter(batches if self.watch is None else self.watch(batches))


@dataclass(frozen=True)
class _Head:
    """The first batches of a loader, afresh on each iteration."""

    loader: Any
    samples: int

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        seen = 0
        for batch in iter_batches(self.loader):
            yield batch.inputs, batch.labels
            seen += batch.size
            if seen >= self.samples:
                return


class FunctionEvaluator:
    """Evaluates by the user's ``eval_func(model)``.

    Args:
        eval_func: Takes what ``present`` returns and gives one number.
        present: Turns the native model into what the user's function can call; ``None`` gives
            it as it is.
    """

    def __init__(
        self,
        eval_func: Callable[[Any], Any],
        present: Callable[[Any], Any] | None = None,
    ) -> None:
        self.eval_func = eval_func
        self.present = present

    def scoring(self) -> Scoring:
        """Say why nothing is known before the function returns."""
        return Scoring(
            "none",
            "eval_func(model) gives one number at its end; eval_func(model, indices) that returns "
            "one score per index (of all samples if indices is None) would be stopped early",
        )

    def screen(self, model: Any, gate: Gate) -> Evaluation:
        """Evaluate a native model; there is nothing to stop at."""
        return self.evaluate(model)

    def evaluate(self, model: Any) -> Evaluation:
        """Evaluate a native model.

        Raises:
            EvaluationError: If the function does not return one finite number. What it raises
                itself passes through.
        """
        start = time.perf_counter()
        presented = model if self.present is None else self.present(model)
        possible = getattr(self.eval_func, "result_range", None)
        accuracy = checked_accuracy(self.eval_func(presented), "eval_func", possible)
        return Evaluation(accuracy, 0, time.perf_counter() - start)
