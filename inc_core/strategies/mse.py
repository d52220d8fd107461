"""``mse``: ops go back to float in the order in which they disturb the model's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inc_core.hookspecs.strategy import Proposals, StrategyContext
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpConfig, OpKey
from inc_core.strategies import basic

__all__ = ["MSEStrategy"]


class MSEStrategy:
    """``basic`` with a measured order: how far the outputs move if one op alone is quantized.

    1. The schemes of ``basic``.
    2. From the best of these, ops (or groups) go back to float cumulatively, the one that moves the
       outputs most first. Where nothing can be measured, the order is found as ``basic`` finds
       it, by one trial per op.

    For N ops that is at most ``basic.MAX_SCHEMES + (1 + basic.RESTARTS) N + 1`` trials, and N more
    without measurements; the last is the float model.
    """

    def propose(self, space: TuningSpace, context: StrategyContext) -> Proposals:
        """Yield recipes (lists of ``context.width`` in stage 1); receive trials."""
        tried = yield from basic.schemes_stage(space, context)
        base = basic.best_of(tried, context).recipe
        sensitivity = context.measure.sensitivity()
        if sensitivity is None:
            yield from basic.fallback_stages(space, context, base)
            return
        ranked = _ranked(space, base, sensitivity)
        yield from basic.cumulative_stage(space, base, ranked, {base.fingerprint})


def _ranked(
    space: TuningSpace, base: Recipe, sensitivity: Mapping[OpKey, Mapping[OpConfig, float]]
) -> list[basic.Unit]:
    """Return what falls back together, the most sensitive first; among equals, the later op."""

    def moved(unit: Sequence[OpKey]) -> float:
        return max(_moved(sensitivity.get(op, {}), base.ops[op]) for op in unit)

    return sorted(basic.units_of(space, base), key=moved, reverse=True)


def _moved(measured: Mapping[OpConfig, float], config: OpConfig) -> float:
    """Return the value of a config, else of one of its mode, which is measured by one of them."""
    same_mode = [value for other, value in measured.items() if other.mode == config.mode]
    return measured.get(config, max(same_mode, default=0.0))
