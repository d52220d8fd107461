"""A third party's strategy: give half of the ops that are left back to float, until it fits."""

from __future__ import annotations

from inc_core import hookimpl

__all__ = ["Halving"]


class Halving:
    """Quantize all, then half, then a quarter of the ops; the last ops go back to float first."""

    def __init__(self, shrink=0.5):
        self.shrink = shrink

    def propose(self, space, context):
        """Yield recipes with fewer and fewer quantized ops; end in the float model."""
        recipe, kept = space.default(), list(space.ops)
        while kept:
            trial = yield recipe
            if trial.accepted and context.stop_at_first:
                return
            kept = kept[: int(len(kept) * self.shrink)]
            members = {op for kept_op in kept for op in space.group(kept_op)}
            floats = {op: space.fallback(op) for op in space.ops if op not in members}
            recipe = space.default().with_ops(floats)
        yield space.all_float()


@hookimpl
def inc_strategies():
    """Offer it as ``tuning.strategy.name: halving``."""
    return {"halving": "inc_example_strategy:Halving"}
