"""Whether a search can reject trials early, and against what they are held."""

from __future__ import annotations

import base64
import logging
import math
import zlib

import numpy as np

from inc_core.tuning.checks import Scores
from inc_core.tuning.criterion import Criterion
from inc_core.tuning.evaluate import Evaluator, Scoring, ScreeningEvaluator
from inc_core.tuning.sequential import Gate
from inc_core.tuning.trial import Baseline

__all__ = ["make_gate", "pack_scores", "unpack_scores", "wants_scores"]

logger = logging.getLogger("inc_core.tuning")


def wants_scores(evaluator: Evaluator | None) -> bool:
    """Whether the float model's scores are needed to reject trials early."""
    return isinstance(evaluator, ScreeningEvaluator) and evaluator.scoring().kind == "scores"


def make_gate(
    evaluator: Evaluator | None, criterion: Criterion, baseline: Baseline, scores: Scores | None
) -> Gate | None:
    """Return what trials are held against; ``None``, said once, if all samples must be seen.

    Args:
        evaluator: What tells scores or bounds, if it is a ``ScreeningEvaluator``.
        criterion: The goal.
        baseline: The float model's evaluation.
        scores: Its scores, where it has any.
    """
    scoring = Scoring("none", "the evaluator cannot stop early")
    if isinstance(evaluator, ScreeningEvaluator):
        scoring = evaluator.scoring()
    reason = _why_not(scoring, baseline, scores)
    if reason:
        logger.info("every evaluation takes all samples: %s", reason)
        return None
    if scoring.kind == "bounds":
        return Gate(criterion, baseline.samples)
    if not scoring.random_order:
        logger.info(
            "evaluations stop early only where failing is certain: samples come in the loader's own "
            "order, which is random only for a DataLoader over a dataset with index and length"
        )
    return Gate(criterion, baseline.samples, scores, scoring.score_range, scoring.random_order)


def _why_not(scoring: Scoring, baseline: Baseline, scores: Scores | None) -> str:
    if scoring.kind != "scores":
        return scoring.reason
    if scores is None or not len(scores) or len(scores) != baseline.samples:
        return "this data has no score for each sample"
    assert baseline.accuracy is not None
    mean = float(scores.mean())
    if not math.isclose(mean, baseline.accuracy, rel_tol=1e-6, abs_tol=1e-9):
        return f"the scores' mean is {mean:.6g}, and the result {baseline.accuracy:.6g}"
    lo, hi = scoring.score_range
    if not lo < hi or scores.min() < lo or scores.max() > hi:
        return (
            f"the float model's scores lie within [{scores.min():.6g}, {scores.max():.6g}], "
            f"outside of the score_range ({lo:.6g}, {hi:.6g})"
        )
    return ""


def pack_scores(scores: Scores) -> str:
    """Return scores as text for the journal: right-or-wrong ones take some 3 bits each."""
    content = np.asarray(scores, "<f8").tobytes()
    return base64.b64encode(zlib.compress(content)).decode("ascii")


def unpack_scores(text: str) -> Scores:
    """Inverse of ``pack_scores``."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<f8").astype(np.float64)
