"""RangeRules: the contract and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from inc_core.hookspecs._markers import hookspec
from inc_core.quant.spec import TensorSpec

__all__ = ["RangeRule", "RangeRuleHooks"]


class RangeRule(Protocol):
    """Chooses the range of a tensor from its statistics; ``needs_values`` asks for a histogram.

    Example::

        class HalfRange:
            needs_values = False

            def choose_range(self, statistics, spec):
                return statistics.lo / 2, statistics.hi / 2
    """

    needs_values: bool

    def choose_range(self, statistics: Any, spec: TensorSpec) -> tuple[Any, Any]:
        """Return the lower and upper bound, float, of the shape of ``statistics.lo``."""


class RangeRuleHooks:
    """Hooks of a plugin that brings observers."""

    @hookspec
    def inc_observers(self) -> Mapping[str, type[RangeRule] | str]:
        """Offer observers by the name that ``activation.algorithm`` uses.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_observers():
                return {"half": "inc_half:HalfRange"}
        """
        raise AssertionError("a specification is never called")
