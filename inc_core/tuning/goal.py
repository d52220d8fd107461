"""A goal that every model meets, or that none can: most often per cent in place of a share."""

from __future__ import annotations

import logging
from typing import Any

from inc_core.tuning.criterion import Criterion
from inc_core.tuning.evaluate import ScreeningEvaluator

__all__ = ["doubt_of_goal", "warn_of_goal"]

logger = logging.getLogger("inc_core.tuning")


def warn_of_goal(criterion: Criterion, evaluator: Any) -> None:
    """Log a warning if the goal decides nothing; only where the metric's range is known."""
    doubt = doubt_of_goal(criterion, _possible(evaluator))
    if doubt:
        logger.warning("%s", doubt)


def doubt_of_goal(criterion: Criterion, possible: tuple[float, float] | None) -> str:
    """Return what is odd about a goal, as a sentence; empty if nothing is.

    Args:
        criterion: The goal.
        possible: Least and largest result of the metric; ``None`` if unknown.
    """
    if possible is None:
        return ""
    worst, best = possible if criterion.higher_is_better else possible[::-1]
    sign = 1 if criterion.higher_is_better else -1
    goal = (
        f"the float model has {criterion.baseline:.4g} and the accuracy goal is "
        f"{'at least' if criterion.higher_is_better else 'at most'} {criterion.threshold:.4g}, "
        f"but results are within [{possible[0]:g}, {possible[1]:g}]"
    )
    if sign * (criterion.threshold - worst) <= 0:
        return f"any model meets the goal: {goal}. Write a loss of one per cent as 0.01 or 1%"
    if sign * (criterion.threshold - best) > 0:
        return f"no model can meet the goal: {goal}. Relax tuning.accuracy_criterion"
    return ""


def _possible(evaluator: Any) -> tuple[float, float] | None:
    if isinstance(evaluator, ScreeningEvaluator) and evaluator.scoring().kind == "scores":
        return evaluator.scoring().score_range
    owner = getattr(evaluator, "eval_func", evaluator)
    stated = getattr(owner, "result_range", None)
    return None if stated is None else (float(stated[0]), float(stated[1]))
