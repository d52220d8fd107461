"""Pruners: what says which weights matter. The contract and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from inc_core.hookspecs._markers import hookspec

__all__ = ["Pruner", "PrunerHooks"]

Array = np.ndarray[Any, Any]


class Pruner(Protocol):
    """Scores weights; schedule, pattern, allocation and masks are the core's.

    ``scores(name, weight)`` returns one number per weight, of the shape of ``weight``: the lowest are
    set to zero first. ``None`` says that it is too early to tell; it is asked again after each step.
    Weights that are zero already stay so if they score lowest. It inherits from nothing.

    Optional:

    * ``observe(name, weight, gradient)`` is told weight and gradient, float32, before each step of the
      optimizer.
    * ``mask(name, weight)`` returns, once, what to keep (bool): the pruner decides it all by itself;
      ``scores`` is not needed, and schedule, pattern and target have no effect.

    Example::

        class Lottery:
            def __init__(self, seed=0):
                self.rng = np.random.default_rng(seed)

            def scores(self, name, weight):
                return self.rng.random(weight.shape) * (weight != 0)
    """

    def scores(self, name: str, weight: Array) -> Array | None:
        """Return the importance of each weight, finite, or ``None`` if it is not known yet."""


class PrunerHooks:
    """Hooks of a plugin that brings pruners."""

    @hookspec
    def inc_pruners(self) -> Mapping[str, type[Pruner] | str]:
        """Offer pruners by the name that ``prune_type`` uses.

        Called once, when the plugin is registered. Returns classes, or strings that are imported
        on first use; by default, nothing. Example::

            @hookimpl
            def inc_pruners():
                return {"lottery": "inc_lottery:Lottery"}
        """
        raise AssertionError("a specification is never called")
