"""What a user stated about which ops, and whether any of it can be had."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from inc_core.errors import ConfigError, did_you_mean
from inc_core.quant.constraint import OpConstraint, TensorConstraint
from inc_core.quant.spec import FLOAT_MODES, OpCapability, OpConfig, OpKey

__all__ = ["Stated", "check", "permits", "stated_constraints"]

_SHOWN = 6  # names in a message: enough to see how the model's ops are called


@dataclass(frozen=True)
class Stated:
    """One constraint and what it is for.

    Attributes:
        where: Its key in the configuration, such as ``"op_wise['conv1']"``.
        constraint: What it allows.
        matching: The ops that it is for.
        pattern: The regular expression of op names or types; empty for every op.
        known: What the pattern was matched against.
    """

    where: str
    constraint: OpConstraint
    matching: Mapping[OpKey, OpCapability]
    pattern: str = ""
    known: tuple[str, ...] = ()


def stated_constraints(
    capabilities: Sequence[OpCapability],
    model_wise: OpConstraint,
    optype_wise: Mapping[str, OpConstraint],
    op_wise: Mapping[str, OpConstraint],
) -> list[Stated]:
    """Return every constraint that states anything; later ones win over earlier ones.

    Raises:
        ConfigError: If a pattern is no regular expression.
    """
    found = [Stated("model_wise", model_wise, {c.op: c for c in capabilities})]
    named = [("optype_wise", pattern, optype_wise[pattern]) for pattern in optype_wise]
    named += [("op_wise", pattern, op_wise[pattern]) for pattern in op_wise]
    problems = []
    for section, pattern, constraint in named:
        where = f"{section}[{pattern!r}]"
        words = {c.op: c.op.name if section == "op_wise" else c.op.type for c in capabilities}
        try:
            expression = re.compile(pattern)
        except re.error as error:
            problems.append(f"{where}: not a regular expression ({error})")
            continue
        matching = {c.op: c for c in capabilities if expression.fullmatch(words[c.op])}
        known = tuple(dict.fromkeys(words.values()))
        found.append(Stated(where, constraint, matching, pattern, known))
    if problems:
        raise ConfigError("quantization: patterns that cannot be read", problems)
    return found


def check(stated: Sequence[Stated]) -> None:
    """Make sure that every constraint is for some op, and can be met by one.

    Raises:
        ConfigError: With every constraint that cannot.
    """
    problems = [problem for one in stated for problem in _problems(one)]
    if problems:
        raise ConfigError("quantization: constraints that cannot be met", problems)


def permits(constraint: OpConstraint, config: OpConfig) -> bool:
    """Whether a config satisfies a constraint; a float weight keeps ops without weight float too."""
    if config.is_quantized and _only_float(constraint.weight):
        return False
    return constraint.allows(config)


def _problems(stated: Stated) -> Iterator[str]:
    matching = list(stated.matching.values())
    if not matching and stated.pattern:
        yield _no_match(stated)
        return
    configs = [config for capability in matching for config in capability.configs]
    quantized = [config for config in configs if config.is_quantized]
    if not quantized and not stated.pattern:
        return  # nothing can be quantized: the ledger has the reason of each op
    found = list(_missing_values(stated, matching, configs))
    yield from found
    if found or _asks_for_float(stated.constraint):
        return
    if not any(permits(stated.constraint, config) for config in quantized):
        offered = "; ".join(dict.fromkeys(map(str, quantized[:3])))
        yield (
            f"{stated.where}: no op offers these values together ({_ops(matching)}). "
            f"Offered are, best first: {offered}"
        )


def _no_match(stated: Stated) -> str:
    if stated.where.startswith("optype_wise"):
        return (
            f"{stated.where}: no op of this type in this model."
            f"{did_you_mean(stated.pattern, stated.known)} "
            f"(types: {', '.join(stated.known)}; 'inc check --ops' lists the ops)"
        )
    return (
        f"{stated.where}: no such op in this model.{did_you_mean(stated.pattern, stated.known)} "
        f"({len(stated.known)} ops: {_some(stated.known)})"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, ...; 'inc check --ops' lists them"


def _missing_values(
    stated: Stated, matching: Sequence[OpCapability], configs: Sequence[OpConfig]
) -> Iterator[str]:
    for part in ("activation", "weight"):
        constraint: TensorConstraint = getattr(stated.constraint, part)
        for field in fields(constraint):
            offered = _offered(configs, part, field.name)
            for value in getattr(constraint, field.name):
                if value not in offered:
                    yield (
                        f"{stated.where}.{part}.{field.name}: {value!r} is not offered "
                        f"({_ops(matching)}).{did_you_mean(str(value), map(str, offered))}{_allowed(offered)}"
                    )


def _ops(matching: Sequence[OpCapability]) -> str:
    if len(matching) > 1:
        return f"{len(matching)} ops: {_some([capability.op.name for capability in matching])}"
    note = f": {matching[0].note}" if matching[0].note else ""
    return f"1 op, {matching[0].op.name!r}{note}"


def _allowed(offered: set[Any]) -> str:
    values = ", ".join(sorted(map(str, offered)))
    return f" Allowed: {values}" if values else " Nothing can be chosen here: remove the line"


def _offered(configs: Sequence[OpConfig], part: str, field: str) -> set[Any]:
    specs = [getattr(config, part) for config in configs]
    offered = {getattr(spec, field) for spec in specs if spec is not None} - {None}
    if field == "dtype":
        offered |= {config.mode for config in configs if not config.is_quantized}
    return offered


def _asks_for_float(constraint: OpConstraint) -> bool:
    return _only_float(constraint.weight) or _only_float(constraint.activation)


def _only_float(constraint: TensorConstraint) -> bool:
    return bool(constraint.dtype) and all(dtype in FLOAT_MODES for dtype in constraint.dtype)
