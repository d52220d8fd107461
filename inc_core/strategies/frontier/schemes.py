"""Model-wide alternatives: option sets, range rules, calibration sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from inc_core.quant.space import TuningSpace
from inc_core.strategies.frontier.variables import Variables

__all__ = ["alternatives", "far_closer"]

MOST = 6
FAR_CLOSER = 0.3  # of the default's divergence: such an option set loses less in nearly any case


def alternatives(space: TuningSpace, best: Callable[[], Variables]) -> Iterator[Variables]:
    """Yield the variables under each other option set, range rule and calibration size.

    Args:
        space: What may be proposed.
        best: Returns the best so far: range rules and sizes are combined with its options.
    """
    yield from _rewritten(space)
    for scheme in range(1, _schemes(space)):
        yield Variables.of(space, best().base, scheme)
    for samples in space.calib_samples[1:]:
        yield Variables.of(space, replace(best().base, calib_samples=samples))


def far_closer(
    space: TuningSpace,
    default: Variables,
    divergence: Callable[[Variables], float | None],
) -> Variables:
    """Return the variables under the option set that is far closer to float than the default.

    To look costs a few hundredths of an evaluation.

    Args:
        space: What may be proposed.
        default: Under the usual options; returned if none is far closer.
        divergence: How far outputs are from float; ``None`` if that cannot be measured.
    """
    others = list(_rewritten(space))
    least = divergence(default) if others else None
    if least is None:
        return default
    best, least = default, FAR_CLOSER * least
    for other in others:
        found = divergence(other)
        if found is not None and found < least:
            best, least = other, found
    return best


def _rewritten(space: TuningSpace) -> Iterator[Variables]:
    base = space.default()
    for options in space.option_sets[1:]:
        yield Variables.of(space, replace(base, options=tuple(sorted(options))))


def _schemes(space: TuningSpace) -> int:
    """Return how many configs of one kind an op offers at most."""
    most = 1
    for capability in space.capabilities:
        kinds = [(c.mode, c.precision) for c in capability.configs]
        most = max(most, *(kinds.count(kind) for kind in set(kinds)))
    return min(most, MOST)
