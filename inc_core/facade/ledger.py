"""The final ledger: every narrowing, every op's fate, and what the runtime really ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inc_core.quant.ledger import Decision
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpKey
from inc_core.tuning.trial import Trial

__all__ = ["build_ledger", "float_reasons"]


def build_ledger(
    space: TuningSpace, trial: Trial, executed: Mapping[OpKey, str] | None
) -> tuple[Decision, ...]:
    """Return the decisions behind a trial's recipe, in the order in which they were made.

    Args:
        space: Holds the decisions of adaptor and user.
        trial: The trial whose recipe was built.
        executed: Precision by op as the runtime reports it; ``None`` if it cannot say.
    """
    return (
        *space.decisions,
        *_of_strategy(space, trial),
        *_of_runtime(trial.recipe, executed or {}),
    )


def _of_strategy(space: TuningSpace, trial: Trial) -> Iterator[Decision]:
    for op in space.ops:
        config = trial.recipe.ops[op]
        if not config.is_quantized:
            reason = f"float in trial {trial.number}, the one chosen: the goal was met with it so"
            if not trial.accepted:
                reason = f"float in trial {trial.number}, the closest to the goal"
            yield Decision(op, config, reason, "strategy")
        elif config != space.options(op)[0]:
            reason = f"trial {trial.number} ran it as {config}, not as {space.options(op)[0]}"
            yield Decision(op, config, reason, "strategy")


def _of_runtime(recipe: Recipe, executed: Mapping[OpKey, str]) -> Iterator[Decision]:
    for op, found in executed.items():
        config = recipe.ops.get(op)
        precision, _, kernel = found.partition(" by ")
        if config is None or (config.precision == precision and not kernel):
            continue
        reason = f"asked for {config.precision}, the runtime runs it in {found}"
        if config.precision == precision:
            reason = f"run in {found}"
        yield Decision(op, config, reason, "runtime")


def float_reasons(recipe: Recipe, ledger: tuple[Decision, ...]) -> dict[str, str]:
    """Return, for every op of a recipe that is float, the last reason that the ledger has for it."""
    reasons: dict[OpKey, str] = {}
    for decision in ledger:
        reasons[decision.op] = decision.reason
    return {
        op.name: reasons.get(op, "the adaptor offers only float")
        for op, config in recipe.ops.items()
        if not config.is_quantized
    }
