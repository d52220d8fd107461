"""Events of a run, for plugins that log or report. An exception in one never breaks a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inc_core.hookspecs._markers import hookspec
from inc_core.quant.space import TuningSpace

if TYPE_CHECKING:
    from inc_core.tuning.trial import Trial, TuningResult

__all__ = ["EventHooks"]


class EventHooks:
    """Hooks that are told what happens; what they return is ignored.

    They are called in the process of the search, in the order in which plugins were found. An
    implementation names only the arguments that it wants. Example::

        @hookimpl
        def inc_trial_finished(trial):
            print(trial.number, trial.status, trial.accuracy)
    """

    @hookspec
    def inc_tuning_started(self, space: TuningSpace, baseline: float) -> None:
        """Told after the float baseline was evaluated, before the first trial."""

    @hookspec
    def inc_trial_finished(self, trial: Trial) -> None:
        """Told after each trial, failed and replayed ones included."""

    @hookspec
    def inc_tuning_finished(self, result: TuningResult) -> None:
        """Told once at the end of a search, however it ended."""

    @hookspec
    def inc_model_saved(self, directory: Path) -> None:
        """Told after a tuned model was written."""
