"""From ``tuning.runner`` to what runs trials."""

from __future__ import annotations

from inc_core.config.types import RunnerConfig
from inc_core.tuning.runner import Address, DaskRunner, InlineRunner, ProcessRunner, Runner

__all__ = ["make_runner"]


def make_runner(config: RunnerConfig) -> Runner:
    """Return the configured runner; nothing is started yet."""
    if config.name == "inline":
        return InlineRunner(config.trial_timeout)
    if config.name == "process":
        return ProcessRunner(config.workers, config.trial_timeout, config.memory_limit_mb)
    return DaskRunner(
        Address(config.address, config.scheduler_file),
        config.workers,
        config.trial_timeout,
        config.memory_limit_mb,
        reconnect_seconds=config.reconnect_timeout,
        on_loss=config.on_engine_loss,
    )
