"""Metrics: the contract and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from inc_core.hookspecs._markers import hookspec

__all__ = ["Metric", "MetricHooks"]


class Metric(Protocol):
    """Has ``update(predictions, labels)`` per batch and ``result()``; inherits from nothing.

    Optional: ``reset()`` (else a new instance is made for each evaluation) and
    ``higher_is_better`` (default true; the YAML decides if both say).

    Optional: ``result_range``, the least and largest result there can be; anything else fails the
    trial that gave it.

    Optional, to let bad models be rejected before the last sample:

    * ``scores(predictions, labels)`` returns one number per sample of a batch, shape ``(batch,)``,
      whose mean over all samples is the result; or ``None`` if this data has no such scores. It
      adds nothing to the metric. ``score_range``, ``(0, 1)`` if there is none, holds the least and
      largest score; ``None`` says that they are not known, and scores are not asked for.
    * ``bounds(remaining)`` returns the least and largest ``result()`` that is possible after
      ``remaining`` more samples, for metrics that are no mean over samples.

    Optional, to let several workers evaluate one model:

    * ``merge(other)`` adds what another instance was given, samples that come after those of this
      one. Added one after the other, the instances of single batches have exactly the result of one
      instance that was given all batches. ``other`` is not changed.

    Example::

        class Agreement:
            def __init__(self):
                self.hits = self.total = 0

            def scores(self, predictions, labels):  # optional
                return predictions.argmax(-1) == labels

            def update(self, predictions, labels):
                self.hits += int(self.scores(predictions, labels).sum())
                self.total += len(labels)

            def merge(self, other):  # optional
                self.hits += other.hits
                self.total += other.total

            def result(self):
                return self.hits / self.total
    """

    def update(self, predictions: Any, labels: Any) -> None:
        """Add one batch: arrays (or tuples of arrays, for several outputs) with the batch first."""

    def result(self) -> float:
        """Return the value over everything added so far."""


class MetricHooks:
    """Hooks of a plugin that brings metrics."""

    @hookspec
    def inc_metrics(self) -> Mapping[str, type[Metric] | str]:
        """Offer metrics by the name that ``evaluation.accuracy.metric`` uses.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_metrics():
                return {"agreement": "inc_agreement:Agreement"}
        """
        raise AssertionError("a specification is never called")
