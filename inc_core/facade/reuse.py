"""What of earlier runs may serve this one: the cache, and keys that hold everything that decides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property

from inc_core.data.code import package_version
from inc_core.data.content import InputContent
from inc_core.data.identity import DIFFERENT
from inc_core.facade.session import Session
from inc_core.machine import describe_machine
from inc_core.quant.calibrator import StatisticsStore
from inc_core.tuning.cache import Cache, open_cache
from inc_core.tuning.fingerprint import content_key, versions_of
from inc_core.tuning.results import Results
from inc_core.tuning.statistics import CachedStatistics
from inc_core.tuning.trial_run import describe_error

__all__ = ["Reuse"]

logger = logging.getLogger("inc_core.tuning")

_NO_DATA = "none"

# Parts of every class's bases that belong to Python, whose version is in the machine's description.
NEUTRAL = frozenset({"abc", "builtins", "typing"})


class Reuse:
    """The cache of one run.

    Args:
        session: Of the run.
        problem: What ``fingerprint`` returned; empty for a run that keeps no history, which then
            measures everything itself.
    """

    def __init__(self, session: Session, problem: Mapping[str, str]) -> None:
        self._session = session
        self._problem = problem
        self.cache: Cache = open_cache(session.config.tuning.cache)

    def statistics(self, options: tuple[str, ...]) -> StatisticsStore | None:
        """Return the store of a model's calibration statistics; ``None`` if none is kept."""
        content = self._calib_content
        if content is None or not self._is_on:
            return None
        key = {
            "packages": self._packages,
            "model": self._problem["model"],
            "options": list(options),
            "adaptor": repr(self._session.opened.adaptor.context),
            "processor": describe_machine()["processor"],
            "versions": versions_of(self._session.opened.adaptor),
        }
        return CachedStatistics(self.cache, key, content)

    @cached_property
    def content_key(self) -> Mapping[str, str]:
        """What outputs of a recipe depend on beside the recipe; empty if that is not all known."""
        digest = self._calib_digest
        if not self._is_on or digest is None:
            return {}
        known = content_key(self._problem)
        adaptor = repr(self._session.opened.adaptor.context)
        exact = {k: v for k, v in known.items() if not k.startswith("calib_dataloader.")}
        return {
            **exact,
            "calibration data": digest,
            "adaptor": adaptor,
            "packages": " ".join(self._packages),
            **describe_machine(),
        }

    @cached_property
    def _packages(self) -> list[str]:
        """What state of ours and of the adaptor's code is at work."""
        adaptors = type(self._session.opened.adaptor).__mro__
        packages = dict.fromkeys(cls.__module__.partition(".")[0] for cls in adaptors)
        return [f"{name} {package_version(name)}" for name in packages if name not in NEUTRAL]

    @cached_property
    def results(self) -> Results | None:
        """Evaluations of earlier runs; ``None`` where nothing is evaluated."""
        evaluator = self._session.evaluator
        if evaluator is None:
            return None
        different = self._problem.get("eval_dataloader.samples") == DIFFERENT
        return Results(self.cache, {} if different else self.content_key, evaluator)

    @property
    def _is_on(self) -> bool:
        # what a training has made of the model is in no key
        untrained = self._session.trained is None
        return untrained and self.cache.folder is not None and bool(self._problem)

    @cached_property
    def _calib_content(self) -> InputContent | None:
        session = self._session
        loader = session.calib_dataloader
        if loader is None or self._problem.get("calib_dataloader.samples") == DIFFERENT:
            return None
        return InputContent(loader, max(session.space.calib_samples))

    @property
    def _calib_digest(self) -> str | None:
        if self._session.calib_dataloader is None:
            return _NO_DATA
        if self._calib_content is None or not self._is_on:
            return None
        try:
            return self._calib_content.digest
        except Exception as error:  # noqa: BLE001 - user code; who calibrates will meet it and tell
            logger.debug("the calibration data cannot be read: %s", describe_error(error))
            return None
