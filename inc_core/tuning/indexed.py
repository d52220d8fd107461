"""``eval_func(model, indices)``: the user's own evaluation, a part of the samples at a time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from inc_core.data.order import random_order
from inc_core.errors import ConfigError
from inc_core.tuning.checks import Scores, checked_accuracy, checked_scores
from inc_core.tuning.evaluate import Evaluation, Evaluator, FunctionEvaluator, Scoring
from inc_core.tuning.sequential import Gate

__all__ = ["IndexedFunctionEvaluator", "function_evaluator"]

# Each call costs what the user's function costs to start; more parts would hardly stop it earlier.
PARTS = 50


def function_evaluator(
    eval_func: Callable[..., Any],
    order_seed: int | None,
    present: Callable[[Any], Any] | None = None,
) -> Evaluator:
    """Return the evaluator of a user's function, by its signature.

    Args:
        eval_func: ``eval_func(model)``, or ``eval_func(model, indices)``.
        order_seed: Of the order of samples; ``None`` always evaluates all of them.
        present: Turns a native model into what the function is called with; ``None`` leaves it.

    Raises:
        ConfigError: If it cannot be called so.
    """
    indexed = _takes_indices(eval_func)
    _check_signature(eval_func, arguments=2 if indexed else 1)
    if not indexed:
        return FunctionEvaluator(eval_func, present)
    if order_seed is None:
        return FunctionEvaluator(_OfAllSamples(eval_func), present)
    return IndexedFunctionEvaluator(eval_func, order_seed, present)


def _check_signature(eval_func: Any, arguments: int) -> None:
    if not callable(eval_func):
        raise ConfigError(
            f"eval_func is a function that is called with the model and returns its accuracy; "
            f"received {eval_func!r} ({type(eval_func).__name__})"
        )
    try:
        signature = inspect.signature(eval_func)
    except (TypeError, ValueError):  # built-ins have no signature
        return
    try:
        signature.bind(*[None] * arguments)
    except TypeError as error:
        name = getattr(eval_func, "__name__", type(eval_func).__name__)
        raise ConfigError(
            f"eval_func is called as eval_func(model), but its signature is {name}{signature} "
            f"({error}). Bind what else it needs: lambda model: {name}(model, ...)"
        ) from error


def _takes_indices(eval_func: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(eval_func).parameters)
    except (TypeError, ValueError):  # built-ins have no signature
        return False
    return parameters[1:2] == ["indices"]


class IndexedFunctionEvaluator:
    """Evaluates by ``eval_func(model, indices)``, whose scores' mean is the accuracy.

    The function is called with ``indices=None`` for all samples, and with an int64 array for some
    of them; it returns one score for each. One that returns a single number for ``None`` is
    evaluated as ``eval_func(model)``. An attribute ``score_range`` of the function tells the least
    and largest score, ``(0, 1)`` without.

    Args:
        eval_func: The user's function.
        order_seed: Of the order in which samples are taken.
        present: Turns a native model into what the function is called with; ``None`` leaves it.
    """

    def __init__(
        self,
        eval_func: Callable[..., Any],
        order_seed: int,
        present: Callable[[Any], Any] | None = None,
    ) -> None:
        self.eval_func = eval_func
        self.order_seed = order_seed
        self._present = present

    def scoring(self) -> Scoring:
        """Say what is known before the last sample."""
        lo, hi = getattr(self.eval_func, "score_range", (0.0, 1.0))
        return Scoring("scores", "", (float(lo), float(hi)), random_order=True)

    def presented(self, model: Any) -> Any:
        """Return what the function is called with."""
        return model if self._present is None else self._present(model)

    def evaluate(self, model: Any) -> Evaluation:
        """Evaluate a native model on all samples.

        Raises:
            EvaluationError: If the function returns neither finite scores nor one finite number.
        """
        start = time.perf_counter()
        found = self.eval_func(self.presented(model), None)
        if found is None or np.ndim(found) == 0:
            accuracy = checked_accuracy(found, "eval_func")
            return Evaluation(accuracy, 0, time.perf_counter() - start)
        scores = checked_scores(found, len(found), "eval_func")
        ordered = scores[random_order(len(scores), self.order_seed)]
        seconds = time.perf_counter() - start
        return Evaluation(_mean(scores), len(scores), seconds, scores=ordered)

    def screen(self, model: Any, gate: Gate) -> Evaluation:
        """Evaluate a native model part by part, and stop where the goal is out of reach.

        Raises:
            EvaluationError: As ``evaluate``, and if scores are outside of their range.
        """
        start = time.perf_counter()
        order, screening, samples = random_order(gate.samples, self.order_seed), gate.start(), 0
        scores = np.empty(gate.samples)
        shown = self.presented(model)
        for indices in np.array_split(order, min(PARTS, gate.samples)):
            found = checked_scores(self.eval_func(shown, indices), len(indices), "eval_func")
            scores[indices] = found
            samples += len(indices)
            if screening.add(found) == "fail" and samples < gate.samples:
                seconds = time.perf_counter() - start
                return Evaluation(screening.estimate(), samples, seconds, stopped_early=True)
        return Evaluation(_mean(scores), samples, time.perf_counter() - start)


class _OfAllSamples:
    """``eval_func(model, indices)`` as ``eval_func(model)``: asked for all samples at once."""

    def __init__(self, eval_func: Callable[..., Any]) -> None:
        self.eval_func = eval_func
        self.result_range = getattr(eval_func, "result_range", None)

    def __call__(self, model: Any) -> Any:
        found = self.eval_func(model, None)
        if found is None or np.ndim(found) == 0:
            return found
        return _mean(checked_scores(found, len(found), "eval_func"))


def _mean(scores: Scores) -> float:
    return checked_accuracy(float(scores.mean()) if len(scores) else None, "eval_func")
