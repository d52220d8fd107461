"""Where trials run: in this process, in children that may crash or hang, or on other machines."""

from __future__ import annotations

from inc_core.tuning.runner.contract import Ask, Outcome, Runner, Terms
from inc_core.tuning.runner.dask import DaskRunner
from inc_core.tuning.runner.inline import InlineRunner
from inc_core.tuning.runner.link import Address
from inc_core.tuning.runner.process import ProcessRunner
from inc_core.tuning.runner.work import proposal_width
from inc_core.tuning.runner.worker import refuse_in_trial

__all__ = [
    "Address",
    "Ask",
    "DaskRunner",
    "InlineRunner",
    "Outcome",
    "ProcessRunner",
    "Runner",
    "Terms",
    "proposal_width",
    "refuse_in_trial",
]
