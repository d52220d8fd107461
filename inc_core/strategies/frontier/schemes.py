"""Model-wide alternatives: option sets, range rules, calibration sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.strategies.frontier.variables import Variables

__all__ = ["alternatives"]

MOST = 6


def alternatives(space: TuningSpace) -> Iterator[Variables]:
    """Yield the variables under each other option set, range rule and calibration size."""
    base = space.default()
    for options in space.option_sets[1:]:
        yield Variables.of(space, replace(base, options=tuple(sorted(options))))
    for scheme in range(1, _schemes(space)):
        yield Variables.of(space, base, scheme)
    for samples in space.calib_samples[1:]:
        yield Variables.of(space, Recipe(base.ops, samples, base.options))


def _schemes(space: TuningSpace) -> int:
    """Return how many configs of one kind an op offers at most."""
    most = 1
    for capability in space.capabilities:
        kinds = [(c.mode, c.precision) for c in capability.configs]
        most = max(most, *(kinds.count(kind) for kind in set(kinds)))
    return min(most, MOST)
