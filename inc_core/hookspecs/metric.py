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

    Example::

        class Agreement:
            def __init__(self):
                self.hits = self.total = 0

            def update(self, predictions, labels):
                self.hits += int((predictions.argmax(-1) == labels).sum())
                self.total += len(labels)

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
