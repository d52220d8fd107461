"""The speed gate: ops whose quantized kernels do not pay on this machine stay float.

An op is not judged alone: a slow op between fast integer ones may still be worth its place, as
converting for it would cost more. Which ops together are better off in float is a minimum cut of the
graph of conversions, so that the answer is exact for the table's numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from inc_core.hookspecs.adaptor import LatencyTable
from inc_core.quant.ledger import Decision
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpConfig, OpKey
from inc_core.tuning.min_cut import minimum_cut

__all__ = ["narrow_by_speed"]

BY = "speed gate"

# What a pattern must lose in int8 before it is taken out: less is not above the noise of a table.
LEAST_SHARE = 0.01
LEAST_SECONDS = 50e-6

Pair = tuple[OpKey, OpKey]


def narrow_by_speed(space: TuningSpace, table: LatencyTable) -> TuningSpace:
    """Return the space without quantized options where they do not pay, conversions included.

    Ops that were not timed and weight-only options are left alone: the latter are chosen for size.
    """
    choices = {op: choice for op in space.ops if (choice := _choice(space, table, op)) is not None}
    costs = _costs(space, table, choices)
    slow = minimum_cut({op: c.quantized - c.fp32 for op, c in choices.items()}, costs)
    least = max(LEAST_SECONDS, LEAST_SHARE * sum(c.fp32 for c in choices.values()))
    for pattern in _patterns(slow, costs):
        if _saving(pattern, choices, costs) < least:
            slow -= pattern
    if not slow:
        return space
    decisions = [
        Decision(op, space.fallback(op), _reason(choices[op], _borders(op, costs)), BY)
        for op in space.ops
        if op in slow
    ]
    capabilities = tuple(
        replace(c, configs=_without_slow(c.configs)) if c.op in slow else c
        for c in space.capabilities
    )
    return replace(space, capabilities=capabilities, decisions=(*space.decisions, *decisions))


@dataclass(frozen=True)
class _Choice:
    """The fastest quantized config of an op beside float; seconds."""

    config: OpConfig
    quantized: float
    fp32: float


def _choice(space: TuningSpace, table: LatencyTable, op: OpKey) -> _Choice | None:
    known = table.seconds.get(op, {})
    fp32 = known.get(space.fallback(op))
    timed = [
        (known[config], config)
        for config in space.options(op)
        if config.is_quantized and config.mode != "weight_only" and config in known
    ]
    if fp32 is None or not timed:
        return None
    seconds, config = min(timed, key=lambda pair: pair[0])
    return _Choice(config, seconds, fp32)


def _costs(
    space: TuningSpace, table: LatencyTable, choices: Mapping[OpKey, _Choice]
) -> dict[Pair, float]:
    """Return what it costs if exactly one op of a pair is quantized."""
    costs = {
        pair: cost
        for pair, cost in table.boundary.items()
        if all(op in choices and choices[op].config.mode == "static" for op in pair)
    }
    together = sum(c.quantized + c.fp32 for c in choices.values()) + sum(costs.values())
    for op in choices:
        for other in space.group(op):
            if other != op and other in choices:
                costs[op, other] = together  # more than anything: a group switches as one
    return costs


def _patterns(slow: Collection[OpKey], costs: Mapping[Pair, float]) -> Iterator[set[OpKey]]:
    """Yield the slow ops that touch each other."""
    left = set(slow)
    while left:
        pattern, fresh = set[OpKey](), {next(op for op in slow if op in left)}
        while fresh:
            pattern |= fresh
            touched = {op for pair in costs if not fresh.isdisjoint(pair) for op in pair}
            fresh = (touched & left) - pattern
        left -= pattern
        yield pattern


def _saving(
    pattern: Collection[OpKey], choices: Mapping[OpKey, _Choice], costs: Mapping[Pair, float]
) -> float:
    """Return the seconds that a pattern's being float saves; nothing it touches is float."""
    alone = sum(choices[op].quantized - choices[op].fp32 for op in pattern)
    return alone - sum(c for (a, b), c in costs.items() if (a in pattern) != (b in pattern))


def _borders(op: OpKey, costs: Mapping[Pair, float]) -> float:
    return sum(cost for pair, cost in costs.items() if op in pair)


def _reason(choice: _Choice, borders: float) -> str:
    text = (
        f"{choice.config.precision} does not pay on this machine: {choice.quantized * 1e3:.3g} ms, "
        f"{choice.fp32 * 1e3:.3g} ms in float"
    )
    slower = choice.quantized > choice.fp32
    return text if slower or not borders else f"{text}, and conversions at its borders"


def _without_slow(configs: tuple[OpConfig, ...]) -> tuple[OpConfig, ...]:
    return tuple(c for c in configs if not c.is_quantized or c.mode == "weight_only")
