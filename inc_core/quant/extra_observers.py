"""Observers that a user names and no adaptor knows: choosing ranges is the core's business."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from inc_core.quant.constraint import OpConstraint
from inc_core.quant.spec import OpCapability

__all__ = ["with_observers"]


def with_observers(
    capabilities: Sequence[OpCapability],
    constraints: Iterable[OpConstraint],
    registered: Collection[str],
) -> tuple[OpCapability, ...]:
    """Return capabilities that offer the registered observers which constraints name.

    Args:
        capabilities: What the adaptor offers.
        constraints: Everything that the user states.
        registered: Names of all observers that plugins offer.
    """
    named = {name for constraint in constraints for name in constraint.activation.algorithm}
    names = sorted(named & set(registered))
    return tuple(_offering(capability, names) for capability in capabilities)


def _offering(capability: OpCapability, names: Sequence[str]) -> OpCapability:
    """Return the capability with each static config offered under further observers too."""
    configs = capability.configs
    extra = {
        replace(config, activation=replace(config.activation, algorithm=name)): None
        for name in names
        for config in configs
        if config.mode == "static" and config.activation is not None
    }
    added = tuple(config for config in extra if config not in configs)
    after = max((k for k, config in enumerate(configs, 1) if config.mode == "static"), default=0)
    return replace(capability, configs=(*configs[:after], *added, *configs[after:]))
