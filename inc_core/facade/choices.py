"""The strategy and the objectives of a session: the script's, else the configured ones."""

from __future__ import annotations

from typing import Any

from inc_core.config.types import ComponentConfig
from inc_core.facade.session import Session
from inc_core.tuning.job import WeightedObjective

__all__ = ["objectives_of", "strategy_of"]


def strategy_of(session: Session) -> Any:
    """Return what proposes recipes.

    Raises:
        ComponentNotFoundError: If no installed plugin offers it.
        ConfigError: If its parameters are wrong.
    """
    own = session.parts.strategy
    if own is not None:
        return own
    return session.plugins.create("strategy", session.config.tuning.strategy)


def objectives_of(session: Session) -> tuple[WeightedObjective, ...]:
    """Return what is measured beside accuracy.

    Raises:
        ComponentNotFoundError: If no installed plugin offers one.
    """
    own = session.parts.objective
    if own is not None:
        return (WeightedObjective(type(own).__name__.lower(), own),)
    create = session.plugins.create
    return tuple(
        WeightedObjective(name, create("objective", ComponentConfig(name)), weight)
        for name, weight in session.config.tuning.objectives.items()
    )
