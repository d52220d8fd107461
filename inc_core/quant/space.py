"""``TuningSpace``: what the adaptor can do, narrowed by what the user allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from inc_core.quant.ledger import Decision
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import OpCapability, OpConfig, OpKey

__all__ = ["TuningSpace"]


@dataclass(frozen=True)
class TuningSpace:
    """Every recipe that a strategy may propose.

    Attributes:
        capabilities: One entry per op, narrowed; ``configs`` best first, always with a float one.
        calib_samples: Calibration sizes that the user named, in that order; ``(0,)`` without calibration.
        option_sets: Model-wide option sets that may be tried, in order; the first is the default.
        decisions: Why options are missing that the adaptor or the user took away.
    """

    capabilities: tuple[OpCapability, ...]
    calib_samples: tuple[int, ...] = (0,)
    option_sets: tuple[tuple[str, ...], ...] = ((),)
    decisions: tuple[Decision, ...] = ()

    @cached_property
    def _by_op(self) -> Mapping[OpKey, OpCapability]:
        return {capability.op: capability for capability in self.capabilities}

    @property
    def ops(self) -> tuple[OpKey, ...]:
        """Every op that has at least one quantized option, in execution order."""
        return tuple(
            capability.op
            for capability in self.capabilities
            if any(config.is_quantized for config in capability.configs)
        )

    def capability(self, op: OpKey) -> OpCapability:
        """Return the narrowed capability of an op."""
        return self._by_op[op]

    def options(self, op: OpKey) -> tuple[OpConfig, ...]:
        """Return the configs of an op, best first."""
        return self._by_op[op].configs

    def fallback(self, op: OpKey) -> OpConfig:
        """Return the float config that an op falls back to: its best one."""
        return next(config for config in self.options(op) if not config.is_quantized)

    def group(self, op: OpKey) -> tuple[OpKey, ...]:
        """Return every op that must switch together with ``op``, itself included."""
        group = self._by_op[op].group
        if group is None:
            return (op,)
        return tuple(other for other in self.ops if self._by_op[other].group == group)

    def default(self) -> Recipe:
        """Return the recipe with the best config of every op."""
        return self._recipe({c.op: c.configs[0] for c in self.capabilities})

    def all_float(self) -> Recipe:
        """Return the recipe in which every op is float."""
        return self._recipe({c.op: self.fallback(c.op) for c in self.capabilities})

    def without_calibration(self) -> TuningSpace:
        """Return what is left without calibration data."""
        left = (
            replace(c, configs=tuple(one for one in c.configs if not one.needs_calibration))
            for c in self.capabilities
        )
        return replace(self, capabilities=tuple(left), calib_samples=(0,))

    def _recipe(self, ops: Mapping[OpKey, OpConfig]) -> Recipe:
        return Recipe(ops, calib_samples=self.calib_samples[0], options=self.option_sets[0])
