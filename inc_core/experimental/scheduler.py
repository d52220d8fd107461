"""Where the original's scripts import the scheduler from."""

from __future__ import annotations

from inc_core.facade.scheduler import Scheduler

__all__ = ["Scheduler"]
