"""Where trials run: in this process, or in children that may crash, hang or run out of memory."""

from __future__ import annotations

from inc_core.tuning.runner.contract import Ask, Outcome, Runner, Terms
from inc_core.tuning.runner.inline import InlineRunner
from inc_core.tuning.runner.process import ProcessRunner
from inc_core.tuning.runner.worker import refuse_in_trial

__all__ = ["Ask", "InlineRunner", "Outcome", "ProcessRunner", "Runner", "Terms", "refuse_in_trial"]
