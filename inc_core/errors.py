"""Every error that inc raises on purpose, with one base class.

A message says what was wrong, what was received and what to do about it. ``exit_code`` is what the
command ``inc`` returns for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inc_core.tuning.trial import TuningResult

__all__ = [
    "CalibrationError",
    "ComponentNotFoundError",
    "ConfigError",
    "DataError",
    "EvaluationError",
    "GoalNotMetError",
    "IncError",
    "MissingFrameworkError",
    "PluginError",
    "QuantizationError",
    "StrategyError",
    "TrainingError",
    "UnsupportedModelError",
    "VerificationError",
    "WorkspaceError",
    "did_you_mean",
]


class IncError(Exception):
    """Base of every error that inc raises on purpose."""

    exit_code = 1


class ConfigError(IncError, ValueError):
    """The configuration is wrong; ``problems`` lists every fault that was found at once."""

    exit_code = 2

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in problems)]))
        self.problems = tuple(problems)


class PluginError(IncError):
    """A plugin is broken, or breaks the contract of its hook."""

    exit_code = 3


class ComponentNotFoundError(IncError, LookupError):
    """No installed plugin offers a component of this name, or more than one does."""

    exit_code = 3


class MissingFrameworkError(IncError, ImportError):
    """A framework that this run needs is not installed or cannot be imported."""

    exit_code = 3


class UnsupportedModelError(IncError, TypeError):
    """The model cannot be loaded, or is of a kind that the adaptor does not handle."""

    exit_code = 4


class DataError(IncError, ValueError):
    """A dataset, data loader or transform does not deliver what a run needs."""

    exit_code = 4


class CalibrationError(IncError):
    """Calibration could not give usable ranges (no samples, NaN, infinite values)."""

    exit_code = 4


class QuantizationError(IncError):
    """A recipe could not be turned into a quantized model."""

    exit_code = 4


class EvaluationError(IncError):
    """The evaluation failed or gave no finite number."""

    exit_code = 4


class StrategyError(IncError):
    """A strategy broke its contract."""

    exit_code = 4


class TrainingError(IncError):
    """A training did not do what a run needs of it, or its hooks were called out of place."""

    exit_code = 4


class WorkspaceError(IncError, OSError):
    """The workspace cannot be used: read-only, taken by another run, or of another problem."""

    exit_code = 5


class GoalNotMetError(IncError):
    """No recipe met the accuracy goal; ``result`` holds every trial."""

    exit_code = 6

    def __init__(self, message: str, result: TuningResult) -> None:
        super().__init__(message)
        self.result = result


class EngineLostError(IncError):
    """The machines that ran trials are out of reach; what finished is in the journal.

    Attributes:
        paused: Whether the search ends with its best so far, to be taken up later.
    """

    exit_code = 4

    def __init__(self, message: str, *, paused: bool = False) -> None:
        super().__init__(message)
        self.paused = paused


class VerificationError(IncError):
    """A saved model does not reproduce what was stored with it."""

    exit_code = 7


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest of ``known``, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""
