"""Evaluations in the cache: the same recipe on the same model, data and metric is not run again.

Only what was evaluated under a key that holds everything that decides: every value of the data, the
metric's code, the goal that could have ended it early. What hides something is evaluated each time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from inc_core.data.code import describe_code
from inc_core.data.metrics import fresh_metric
from inc_core.tuning.cache import Cache
from inc_core.tuning.early_stop import pack_scores, unpack_scores
from inc_core.tuning.evaluate import Evaluation, Evaluator, MetricEvaluator
from inc_core.tuning.sequential import Gate
from inc_core.tuning.trial_run import describe_error

__all__ = ["Results"]

logger = logging.getLogger("inc_core.tuning")

_KIND = "evaluations"
_MARK = "evaluated"
_FLOAT = "float model"


class Results:
    """What earlier runs found for the models of one problem; keeps nothing if something is opaque.

    Args:
        cache: Where evaluations are kept.
        key: What outputs of a recipe depend on beside the recipe; empty if that is not all known.
        evaluator: What evaluates.
    """

    def __init__(self, cache: Cache, key: Mapping[str, str], evaluator: Evaluator) -> None:
        self._cache = cache
        self._evaluator = evaluator
        self._key: dict[str, Any] = dict(key)
        self._on = bool(key) and cache.folder is not None
        self._pending: list[tuple[Mapping[str, Any], Evaluation]] = []
        if self._on:
            self._identify()

    def baseline(self) -> Evaluation | None:
        """Return the float model's evaluation, with its scores."""
        return self._get({"recipe": _FLOAT})

    def keep_baseline(self, evaluation: Evaluation) -> None:
        """Keep the float model's evaluation."""
        self._put({"recipe": _FLOAT}, evaluation)

    def find(self, recipe: str, gate: Gate | None) -> Evaluation | None:
        """Return the evaluation of a recipe, as it would be with this gate.

        Args:
            recipe: Its fingerprint.
            gate: When the evaluation may end early; ``None`` never.
        """
        return self._get(_question(recipe, gate))

    def keep(self, recipe: str, gate: Gate | None, evaluation: Evaluation) -> None:
        """Keep the evaluation of a recipe from the next ``commit`` on.

        One of all samples is kept for runs without a gate too.
        """
        self._pending.append((_question(recipe, gate), evaluation))
        if gate is not None and not evaluation.stopped_early:
            self._pending.append((_question(recipe, None), evaluation))

    def commit(self) -> None:
        """Write what was kept: the model that it is about was found unchanged."""
        for question, evaluation in self._pending:
            self._put(question, evaluation)
        self._pending.clear()

    def distrust(self) -> None:
        """Keep nothing and know nothing: evaluations are not repeatable."""
        self._on = False

    def _identify(self) -> None:
        """Add to the key how it is evaluated; give up, and say so, if that cannot be seen."""
        evaluator = self._evaluator
        if isinstance(evaluator, MetricEvaluator):
            code = describe_code(fresh_metric(evaluator.metric), evaluator.postprocess)
            self._key["metric"] = code.digest
            self._key["batches"] = [evaluator.iteration, evaluator.order_seed]
            opaque = ", ".join(code.opaque) or (
                "" if evaluator.reads_alike else "the order of data"
            )
        else:
            stated = getattr(getattr(evaluator, "eval_func", None), "cache_key", None)
            self._key["eval_func"] = stated
            opaque = "" if stated is not None else "eval_func without an attribute cache_key"
        if opaque:
            self._on = False
            logger.info("evaluations are not taken from other runs: they depend on %s", opaque)

    def _get(self, question: Mapping[str, Any]) -> Evaluation | None:
        key = self._whole(question, read=True) if self._on else None
        found = None if key is None else self._cache.get_json(_KIND, key)
        try:
            return None if found is None else _unpacked(found)
        except (KeyError, TypeError, ValueError) as error:  # another version's
            logger.debug("a cached evaluation cannot be used: %s", error)
            return None

    def _put(self, question: Mapping[str, Any], evaluation: Evaluation) -> None:
        key = self._whole(question, read=False) if self._on else None
        if key is not None:
            self._cache.put_json(_KIND, key, _packed(evaluation))
            self._cache.put(_MARK, self._key, b"")

    def _whole(self, question: Mapping[str, Any], *, read: bool) -> Mapping[str, Any] | None:
        """Return the key with the data in it; ``None`` where nobody knows what they are.

        They are read only if something may be there for them: else the float model's evaluation,
        which is to come, tells it without another reading.
        """
        evaluator = self._evaluator
        if not isinstance(evaluator, MetricEvaluator):
            return {**self._key, **question}
        if evaluator.content is None:
            if not read or self._cache.get(_MARK, self._key) is None:
                evaluator.notes_content = True
                return None
            try:
                evaluator.read_content()
            except Exception as error:  # noqa: BLE001 - user code; the evaluation will meet it and tell
                logger.debug("the evaluation data cannot be read: %s", describe_error(error))
                return None
        return {**self._key, **question, "data": evaluator.content}


def _question(recipe: str, gate: Gate | None) -> Mapping[str, Any]:
    if gate is None:
        return {"recipe": recipe}
    terms = (gate.criterion, gate.samples, gate.score_range, gate.random_order, gate.risk)
    return {"recipe": recipe, "gate": repr(terms)}


def _packed(evaluation: Evaluation) -> dict[str, Any]:
    scores = evaluation.scores
    return {
        "accuracy": evaluation.accuracy,
        "samples": evaluation.samples,
        "seconds": evaluation.seconds,
        "stopped_early": evaluation.stopped_early,
        "scores": None if scores is None else pack_scores(scores),
    }


def _unpacked(fields: Mapping[str, Any]) -> Evaluation:
    scores = fields["scores"]
    return Evaluation(**{**fields, "scores": None if scores is None else unpack_scores(scores)})
