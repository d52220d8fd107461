"""``basic``: model-wide schemes, then one op after the other back to float, then cumulatively."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from inc_core.hookspecs.strategy import Proposals, StrategyContext
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpConfig, OpKey, TensorSpec

if TYPE_CHECKING:
    from inc_core.tuning.trial import Trial

__all__ = [
    "MAX_SCHEMES",
    "RESTARTS",
    "BasicStrategy",
    "Unit",
    "best_of",
    "cumulative_stage",
    "fallback_stages",
    "schemes_stage",
    "units_of",
]

# Each scheme costs a whole evaluation and is a blind guess; where two dozen do not help, giving
# single ops back to float does. It also bounds the product of the choices of all op types.
MAX_SCHEMES = 24

Unit: TypeAlias = "tuple[OpKey, ...]"
Stage: TypeAlias = "Generator[Recipe | list[Recipe], Trial | list[Trial], list[Trial]]"
UnitStage: TypeAlias = (
    "Generator[Recipe | list[Recipe], Trial | list[Trial], list[tuple[Unit, Trial]]]"
)


# How often stage 3 may start again when nothing but one last op is left in integers.
RESTARTS = 2


class BasicStrategy:
    """The search of the original tool, bounded.

    1. The default recipe; other option sets; each scheme for all ops at once; other calibration
       sizes; each scheme for one op type alone. Each step starts from the best so far; at most
       ``MAX_SCHEMES`` trials.
    2. From the best of these, each op (or group) alone goes back to float, last op first.
    3. Ops go back cumulatively, the one whose absence helped most first. Where that ends with a
       single op in integers, and still fails, that op is certainly at fault: it stays float and
       the stage starts again.

    For N ops that is at most ``MAX_SCHEMES + (2 + RESTARTS) N + 1`` trials; the last is the float
    model.
    """

    # the order of stage 3 is that of the accuracies of stage 2, however bad they are
    needs_exact_accuracy = True

    def propose(self, space: TuningSpace, context: StrategyContext) -> Proposals:
        """Yield recipes (lists of ``context.width`` in stages 1 and 2); receive trials."""
        tried = yield from schemes_stage(space, context)
        yield from fallback_stages(space, context, best_of(tried, context).recipe)


def schemes_stage(space: TuningSpace, context: StrategyContext) -> Stage:
    """Yield model-wide schemes, each from the best so far; return every trial."""
    tried: list[Trial] = []
    seen: set[str] = set()
    for step in (_option_sets, _uniform_schemes, _calibration_sizes, _type_schemes):
        base = best_of(tried, context).recipe if tried else space.default()
        steps = [base, *step(space, base)] if not tried else step(space, base)
        fresh = _unseen(steps, seen)
        allowed = islice(fresh, MAX_SCHEMES - len(tried))
        tried += yield from _in_batches(allowed, context.width)
    return tried


def fallback_stages(space: TuningSpace, context: StrategyContext, base: Recipe) -> Proposals:
    """Yield each op back to float by itself, then cumulatively, then the float model."""
    alone = yield from _one_by_one_stage(space, context, base)
    # sorted keeps the order among equals: later ops first
    ranked = [unit for unit, trial in sorted(alone, key=lambda pair: _loss(pair[1], context))]
    seen = {base.fingerprint, *(trial.recipe.fingerprint for _, trial in alone)}
    yield from cumulative_stage(space, base, ranked, seen)


def cumulative_stage(
    space: TuningSpace, base: Recipe, ranked: Sequence[Unit], seen: set[str]
) -> Proposals:
    """Yield ever more units back to float, in the order given, then the float model.

    Args:
        space: Gives the float configs.
        base: Where it starts.
        ranked: What falls back together, in order.
        seen: Fingerprints of recipes that are left out; those proposed are added.
    """
    yield from _unseen(_cumulative(space, base, ranked), seen)
    yield space.all_float()


def _one_by_one_stage(space: TuningSpace, context: StrategyContext, base: Recipe) -> UnitStage:
    units = list(units_of(space, base))
    recipes = (_back_to_float(space, base, unit) for unit in units)
    trials = yield from _in_batches(recipes, context.width)
    return list(zip(units, trials, strict=True))


def _cumulative(space: TuningSpace, base: Recipe, ranked: Sequence[Unit]) -> Iterator[Recipe]:
    """Yield ever more units back to float; all but one, once they failed, convict that one."""
    guilty: list[Unit] = []
    for _ in range(1 + RESTARTS):
        suspects = [unit for unit in ranked if unit not in guilty]
        if not suspects:
            return
        for count in range(len(suspects)):
            floats = [*guilty, *suspects[:count]]
            yield base.with_ops({op: space.fallback(op) for unit in floats for op in unit})
        guilty.append(suspects[-1])


def _in_batches(recipes: Iterator[Recipe], width: int) -> Stage:
    """Yield recipes, ``width`` side by side; never more than that is in memory."""
    trials: list[Trial] = []
    while batch := list(islice(recipes, width)):
        answer = yield batch if width > 1 else batch[0]
        trials += answer if isinstance(answer, list) else [answer]
    return trials


def _unseen(
    recipes: Iterable[Recipe], seen: set[str]
) -> Generator[Recipe, Trial | list[Trial], None]:
    """Yield what was not seen before; what is sent is ignored, so it may be delegated to."""
    for recipe in recipes:
        if recipe.fingerprint not in seen:
            seen.add(recipe.fingerprint)
            yield recipe


def _option_sets(space: TuningSpace, base: Recipe) -> Iterator[Recipe]:
    for options in space.option_sets:
        yield Recipe(base.ops, base.calib_samples, options)


def _calibration_sizes(space: TuningSpace, base: Recipe) -> Iterator[Recipe]:
    for samples in space.calib_samples:
        yield Recipe(base.ops, samples, base.options)


def _uniform_schemes(space: TuningSpace, base: Recipe) -> Iterator[Recipe]:
    for scheme in _schemes(space, space.ops):
        yield base.with_ops(_nearest(space, space.ops, scheme, base))


def _type_schemes(space: TuningSpace, base: Recipe) -> Iterator[Recipe]:
    by_type: dict[str, list[OpKey]] = {}
    for op in space.ops:
        by_type.setdefault(op.type, []).append(op)
    for ops in by_type.values():
        for scheme in _schemes(space, ops):
            yield base.with_ops(_whole_groups(space, _nearest(space, ops, scheme, base)))


def _schemes(space: TuningSpace, ops: Sequence[OpKey]) -> list[OpConfig]:
    """Return the distinct quantized configs, best first; the best of each mode leads."""
    columns = [[c for c in space.options(op) if c.is_quantized] for op in ops]
    depth = max(map(len, columns), default=0)
    by_rank = [column[k] for k in range(depth) for column in columns if k < len(column)]
    distinct = list(dict.fromkeys(by_rank))
    firsts = list({config.mode: config for config in reversed(distinct)}.values())[::-1]
    return list(dict.fromkeys([*firsts, *distinct]))


def _nearest(
    space: TuningSpace, ops: Sequence[OpKey], scheme: OpConfig, base: Recipe
) -> dict[OpKey, OpConfig]:
    """Return for each op its option closest to ``scheme``; without that mode it stays as it is."""
    chosen = {}
    for op in ops:
        same_mode = [config for config in space.options(op) if config.mode == scheme.mode]
        # ``max`` keeps the first, so the better one, among equally close options
        chosen[op] = max(same_mode, key=lambda c: _likeness(c, scheme), default=base.ops[op])
    return chosen


def _likeness(config: OpConfig, scheme: OpConfig) -> int:
    pairs = ((config.activation, scheme.activation), (config.weight, scheme.weight))
    return sum(_common_fields(a, b) for a, b in pairs)


def _common_fields(spec: TensorSpec | None, other: TensorSpec | None) -> int:
    if spec is None or other is None:
        return 0
    names = ("algorithm", "scheme", "granularity", "dtype", "group_size")
    return sum(getattr(spec, name) == getattr(other, name) for name in names)


def _whole_groups(space: TuningSpace, chosen: Mapping[OpKey, OpConfig]) -> dict[OpKey, OpConfig]:
    """Extend a choice to the other members of each group, as far as they offer the same mode."""
    whole = dict(chosen)
    for op, config in chosen.items():
        for other in space.group(op):
            if other not in chosen and config in space.options(other):
                whole[other] = config
    return whole


def units_of(space: TuningSpace, recipe: Recipe) -> Iterator[Unit]:
    """Yield what falls back together, from the last op to the first."""
    done: set[OpKey] = set()
    quantized = set(recipe.quantized_ops)
    for op in reversed(space.ops):
        if op in quantized and op not in done:
            unit = space.group(op)
            done.update(unit)
            yield unit


def _back_to_float(space: TuningSpace, recipe: Recipe, unit: Sequence[OpKey]) -> Recipe:
    return recipe.with_ops({op: space.fallback(op) for op in unit})


def best_of(trials: Sequence[Trial], context: StrategyContext) -> Trial:
    """Return the trial of least loss, the first of equals."""
    return min(trials, key=lambda trial: _loss(trial, context))


def _loss(trial: Trial, context: StrategyContext) -> float:
    """Return the accuracy's loss against float; infinite for failed trials."""
    return float("inf") if trial.accuracy is None else context.criterion.loss(trial.accuracy)
