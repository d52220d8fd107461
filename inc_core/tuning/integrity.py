"""The float model must be after a search what it was before: everything is held against it."""

from __future__ import annotations

import logging

from inc_core.errors import QuantizationError
from inc_core.tuning.job import TuningJob

__all__ = ["FloatModelGuard"]

logger = logging.getLogger("inc_core.tuning")


class FloatModelGuard:
    """Compares the float model's digest with the first one, after trials 1, 2, 4, 8, ... and at the end.

    Args:
        job: Whose model is guarded.
    """

    def __init__(self, job: TuningJob) -> None:
        self._job = job
        self._digest: str | None = job.adaptor.digest(job.model)
        self._checked = 0  # trials that are known to be sound
        self._seen = 0

    def after(self, trials: int) -> None:
        """Look at the model if it is time, so that the cost stays small however many trials there are.

        Raises:
            QuantizationError: If the model was changed.
        """
        self._seen = trials
        if trials >= 2 * self._checked:
            self.check()

    def check(self) -> None:
        """Look at the model now.

        Raises:
            QuantizationError: If the model was changed; names the trials that cannot be trusted.
        """
        job = self._job
        if self._seen > self._checked and self._was_changed():
            message = (
                f"the float model was changed during trials {self._checked + 1} to {self._seen}: "
                f"{type(job.adaptor).__name__}.quantize(), an objective or the evaluation writes into "
                "the model that it is given. Their results are void. Quantize a copy."
            )
            # closes the run: resuming would replay what cannot be trusted
            job.journal.append("stopped", reason="failures", message=message)
            raise QuantizationError(message)
        self._checked = self._seen
        if job.results is not None:
            job.results.commit()

    def _was_changed(self) -> bool:
        if self._digest is None:
            return False
        adaptor, model = self._job.adaptor, self._job.model
        now = adaptor.digest(model)
        if now == self._digest:
            return False
        if adaptor.digest(model) == now:
            return True
        self._digest = None
        logger.warning(
            "%s.digest() gives another digest of the same model each time: nobody can tell whether "
            "the float model stays as it is",
            type(adaptor).__name__,
        )
        return False
