"""The built-in objectives: what a trial's model is measured for beside its accuracy."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from inc_core.errors import EvaluationError

if TYPE_CHECKING:
    from inc_core.tuning.measure import ObjectiveRun

__all__ = ["Accuracy", "Footprint", "ModelSize", "Performance"]

BYTES_PER_MB = 1e6


class Accuracy:
    """The accuracy itself, so that it can be weighed against other objectives.

    Its direction is the metric's: ``higher_is_better`` is ``None``.
    """

    higher_is_better = None
    needs_sample = False

    def measure(self, run: ObjectiveRun) -> float:
        """Return the model's accuracy, as the trial evaluated it.

        Raises:
            EvaluationError: If it was not evaluated.
        """
        if run.accuracy is None:
            raise EvaluationError(
                "the objective 'accuracy' needs an evaluation, and there is none. Give an "
                "eval_dataloader and a metric, or an eval_func; or name another objective."
            )
        return run.accuracy


class Performance:
    """Latency: the median time of one batch, in seconds; that of the evaluation, if it was timed there."""

    higher_is_better = False
    is_latency = True

    def measure(self, run: ObjectiveRun) -> float:
        """Return the latency of one batch in seconds."""
        known = run.evaluated_seconds
        return run.latency_seconds() if known is None else known


class ModelSize:
    """Size of the saved model in MB (10^6 bytes)."""

    higher_is_better = False
    needs_sample = False

    def measure(self, run: ObjectiveRun) -> float:
        """Return the size in MB."""
        return run.size_bytes() / BYTES_PER_MB


class Footprint:
    """Memory in MB (10^6 bytes): the saved model's size, and what one batch takes on top.

    What a batch takes is the growth of the process's peak of resident memory while it runs: native
    memory counts, in contrast to ``tracemalloc``. Its limits: memory that the process holds
    already, such as a runtime's arena after the evaluation, is not seen; memory of other threads
    that work meanwhile is; memory of an accelerator is not. Where the peak cannot be reset (it can
    on Linux), a batch shows only what it takes beyond the highest peak so far.
    """

    higher_is_better = False

    def measure(self, run: ObjectiveRun) -> float:
        """Return the memory in MB.

        Raises:
            EvaluationError: If the operating system does not tell.
        """
        _reset_peak()
        before = _peak_bytes()
        run.predict()
        growth = max(0, _peak_bytes() - before)
        return (run.size_bytes() + growth) / BYTES_PER_MB


def _reset_peak() -> None:
    """Let the peak of resident memory start from what is resident now, where that is possible."""
    # where it is not Linux, or a sandbox forbids it, the old peak stays, as documented
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # see man 5 proc


def _peak_bytes() -> int:
    """Return the peak of resident memory since the process began, or since ``_reset_peak``."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return _peak_bytes_of_rusage()
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return _peak_bytes_of_rusage()


def _peak_bytes_of_rusage() -> int:
    try:
        import resource  # POSIX only
    except ImportError as error:
        raise EvaluationError(
            "the objective 'footprint' cannot be measured on this operating system. "
            "Name another one, such as modelsize."
        ) from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
