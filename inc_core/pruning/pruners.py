"""The pruners that come with the core: what makes a weight important."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

__all__ = ["GradientSensitivity", "Magnitude", "PatternLock", "SnipMomentum"]

Array = np.ndarray[Any, Any]


class Magnitude:
    """A weight matters by its absolute value."""

    def scores(self, name: str, weight: Array) -> Array:
        """Return the absolute values."""
        return np.abs(weight)


class GradientSensitivity:
    """A weight matters by how much the loss would change without it: ``|gradient * weight|``.

    Summed over the steps since the last update. Source: Lee et al. 2019 (arXiv:1810.02340).
    """

    def __init__(self) -> None:
        self._sums: dict[str, Array] = {}

    def observe(self, name: str, weight: Array, gradient: Array) -> None:
        """Add one step."""
        sensitivity = np.abs(gradient * weight)
        self._sums[name] = self._sums[name] + sensitivity if name in self._sums else sensitivity

    def scores(self, name: str, weight: Array) -> Array | None:
        """Return the sum and begin anew; ``None`` before the first step."""
        return self._sums.pop(name, None)


class SnipMomentum:
    """As ``GradientSensitivity``, but older steps fade.

    Args:
        momentum: What is left of the past after each step, from 0 to below 1.
    """

    schema: ClassVar[dict[str, Any]] = {"momentum": {"type": "number", "min": 0, "max": 0.9999}}

    def __init__(self, momentum: float = 0.9) -> None:
        self.momentum = momentum
        self._running: dict[str, Array] = {}

    def observe(self, name: str, weight: Array, gradient: Array) -> None:
        """Add one step."""
        past = self._running.get(name)
        sensitivity = np.abs(gradient * weight)
        self._running[name] = sensitivity if past is None else self.momentum * past + sensitivity

    def scores(self, name: str, weight: Array) -> Array | None:
        """Return the running sum; ``None`` before the first step."""
        return self._running.get(name)


class PatternLock:
    """Keep the zeros that a weight has when training begins, and make no more."""

    def mask(self, name: str, weight: Array) -> Array:
        """Return where the weight is not zero."""
        return weight != 0
