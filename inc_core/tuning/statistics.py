"""Calibration statistics in the cache: another run on the same model and data calibrates nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from inc_core.data.content import InputContent
from inc_core.quant.snapshots import Snapshot, pack_snapshots, unpack_snapshots
from inc_core.tuning.cache import Cache

__all__ = ["CachedStatistics"]

logger = logging.getLogger("inc_core.tuning")

_KIND = "statistics"


class CachedStatistics:
    """The ``StatisticsStore`` of one float model over one loader.

    Args:
        cache: Where they are kept.
        key: Of the model, and of the versions that run it.
        content: The calibration inputs, every value of which is in the key.
    """

    def __init__(self, cache: Cache, key: Mapping[str, Any], content: InputContent) -> None:
        self._cache = cache
        self._key = key
        self._content = content

    def get(self, question: Mapping[str, Any]) -> Mapping[int, Snapshot] | None:
        """Return the statistics that an equal question found in equal data."""
        if self._content.digest is None:
            return None
        content = self._cache.get(_KIND, self._whole(question))
        if content is None:
            return None
        try:
            return unpack_snapshots(content)
        except (
            ValueError,
            KeyError,
            TypeError,
        ) as error:  # another version's, with a right checksum
            logger.debug("cached statistics cannot be used: %s", error)
            return None

    def put(self, question: Mapping[str, Any], snapshots: Mapping[int, Snapshot]) -> None:
        """Keep statistics, unless they are of other data than the key says."""
        if self._content.is_what_was_watched:
            self._cache.put(_KIND, self._whole(question), pack_snapshots(snapshots))

    def watch(self, batches: Iterable[Any]) -> Iterable[Any]:
        """Return the batches, and note what they are."""
        return batches if self._content.digest is None else self._content.watch(batches)

    def _whole(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**self._key, **question, "data": self._content.digest}
