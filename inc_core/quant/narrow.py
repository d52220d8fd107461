"""From what the adaptor can do to what may be tried: approach, constraints, recipes, groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace

from inc_core.errors import ConfigError, did_you_mean
from inc_core.quant.constraint import OpConstraint, TensorConstraint
from inc_core.quant.ledger import Decision
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FLOAT_MODES, OpCapability, OpConfig

__all__ = ["narrow"]

MODES: Mapping[str, tuple[str, ...]] = {
    "static": ("static",),
    "dynamic": ("dynamic",),
    "auto": ("static", "dynamic"),
    "weight_only": ("weight_only",),
    "qat": ("static",),
}

FIRST_OP = "first_conv_or_matmul_quantization"


def narrow(
    capabilities: Sequence[OpCapability],
    *,
    approach: str,
    model_wise: OpConstraint,
    optype_wise: Mapping[str, OpConstraint],
    op_wise: Mapping[str, OpConstraint],
    recipes: Mapping[str, bool],
    sizes: Sequence[int],
    option_sets: Sequence[tuple[str, ...]],
) -> TuningSpace:
    """Return the space that is left; every narrowing leaves a ``Decision``.

    Constraints are merged ``model_wise`` < ``optype_wise`` < ``op_wise``; ``op_wise`` keys must match
    a whole op name. Float modes always stay, so that every op can fall back.

    Args:
        capabilities: What the adaptor offers, in execution order.
        approach: Which quantized modes may be used: a key of ``MODES``.
        model_wise: Constraint on every op.
        optype_wise: Constraints by op type.
        op_wise: Constraints by regular expression.
        recipes: Switches by name; only ``first_conv_or_matmul_quantization`` narrows.
        sizes: Calibration sizes.
        option_sets: Model-wide option sets, the default first.

    Raises:
        ConfigError: If a constraint matches no op, or states values that no matching op offers;
            lists every such problem.
    """
    constraints = [("model_wise", model_wise, list(capabilities))]
    constraints += [
        (f"optype_wise[{kind!r}]", constraint, [c for c in capabilities if c.op.type == kind])
        for kind, constraint in optype_wise.items()
    ]
    constraints += [
        (f"op_wise[{p!r}]", constraint, [c for c in capabilities if re.fullmatch(p, c.op.name)])
        for p, constraint in op_wise.items()
    ]
    problems = [
        problem
        for where, constraint, matching in constraints
        for problem in _problems(where, constraint, matching, capabilities)
    ]
    if problems:
        raise ConfigError("quantization: constraints that cannot be met", problems)
    narrower = _Narrower(approach, constraints, recipes)
    narrowed = narrower.groups(tuple(narrower.one(capability) for capability in capabilities))
    return TuningSpace(
        capabilities=narrowed,
        calib_samples=tuple(sizes) or (0,),
        option_sets=tuple(option_sets) or ((),),
        decisions=tuple(narrower.decisions),
    )


_Constraints = Sequence[tuple[str, OpConstraint, list[OpCapability]]]


class _Narrower:
    """Narrows one op after the other and keeps the decisions."""

    def __init__(
        self, approach: str, constraints: _Constraints, recipes: Mapping[str, bool]
    ) -> None:
        self._approach = approach
        self._constraints = constraints
        self._recipes = recipes
        self.decisions: list[Decision] = []

    def one(self, capability: OpCapability) -> OpCapability:
        """Return an op's capability with only the configs that may be tried."""
        if not _quantized(capability.configs):
            note = capability.note or "the adaptor has no quantized kernel for it"
            self._decide(capability, note, "adaptor")
            return capability
        by_mode = self._by_approach(capability)
        if self._recipes.get(FIRST_OP) is False and capability.first:
            self._decide(capability, f"recipes.{FIRST_OP} is false", "user")
            by_mode = _only_float(by_mode)
        return self._by_constraint(by_mode)

    def _by_approach(self, capability: OpCapability) -> OpCapability:
        modes = MODES[self._approach] + FLOAT_MODES
        kept = tuple(config for config in capability.configs if config.mode in modes)
        if not _quantized(kept):
            offered = ", ".join(sorted({c.mode for c in _quantized(capability.configs)}))
            reason = f"the approach is {self._approach}, the adaptor offers {offered} for this op"
            self._decide(capability, reason, "adaptor")
        return replace(capability, configs=kept)

    def _by_constraint(self, capability: OpCapability) -> OpCapability:
        merged, last = OpConstraint(), ""
        for where, constraint, matching in self._constraints:
            if constraint != OpConstraint() and any(c.op == capability.op for c in matching):
                merged, last = constraint.merged_over(merged), where
        if not last:
            return capability
        allowed = tuple(config for config in capability.configs if merged.allows(config))
        if not _floats(allowed):  # an op can always fall back, to the float mode it would have had
            allowed += _floats(capability.configs)[:1]
        if _quantized(capability.configs) and not _quantized(allowed):
            self._decide(capability, f"{last} leaves only float", "user")
        elif len(allowed) < len(capability.configs):
            left = ", ".join(str(config) for config in _quantized(allowed)[:1])
            self.decisions.append(
                Decision(capability.op, allowed[0], f"{last} narrows it to {left}", "user")
            )
        return replace(capability, configs=allowed)

    def groups(self, capabilities: tuple[OpCapability, ...]) -> tuple[OpCapability, ...]:
        """Make every op of a group float if one of them must be."""
        forced = {
            capability.group: capability.op.name
            for capability in capabilities
            if capability.group is not None and not _quantized(capability.configs)
        }
        return tuple(self._with_group(capability, forced) for capability in capabilities)

    def _with_group(self, capability: OpCapability, forced: Mapping[str, str]) -> OpCapability:
        cause = forced.get(capability.group or "")
        if cause is None or not _quantized(capability.configs):
            return capability
        reason = f"{cause!r} is float, and both must switch together"
        self._decide(capability, reason, "adaptor")
        return _only_float(capability)

    def _decide(self, capability: OpCapability, reason: str, by: str) -> None:
        config = _floats(capability.configs)[0]
        self.decisions.append(Decision(capability.op, config, reason, by))


def _quantized(configs: Sequence[OpConfig]) -> tuple[OpConfig, ...]:
    return tuple(config for config in configs if config.is_quantized)


def _floats(configs: Sequence[OpConfig]) -> tuple[OpConfig, ...]:
    return tuple(config for config in configs if not config.is_quantized)


def _only_float(capability: OpCapability) -> OpCapability:
    return replace(capability, configs=_floats(capability.configs))


def _problems(
    where: str,
    constraint: OpConstraint,
    matching: Sequence[OpCapability],
    capabilities: Sequence[OpCapability],
) -> Iterator[str]:
    if not matching and where != "model_wise":
        by_type = where.startswith("optype_wise")
        known = {c.op.type if by_type else c.op.name for c in capabilities}
        name = where.split("[", 1)[1].rstrip("]").strip("'\"")
        yield (
            f"{where}: no such {'op type' if by_type else 'op'} in this model."
            f"{did_you_mean(name, known)} ({len(capabilities)} ops; list them with 'inc check')"
        )
        return
    for part in ("activation", "weight"):
        stated: TensorConstraint = getattr(constraint, part)
        for field in fields(stated):
            values = getattr(stated, field.name)
            offered = _offered(matching, part, field.name)
            if values and offered and not set(values) & offered:
                allowed = ", ".join(sorted(map(str, offered)))
                received = ", ".join(map(str, values))
                yield (
                    f"{where}.{part}.{field.name}: received {received}; none of the "
                    f"{len(matching)} matching ops offers it. Allowed: {allowed}"
                )


def _offered(matching: Sequence[OpCapability], part: str, field: str) -> set[object]:
    configs = [config for capability in matching for config in capability.configs]
    specs = [getattr(config, part) for config in configs]
    offered = {getattr(spec, field) for spec in specs if spec is not None}
    offered.discard(None)
    if field == "dtype":
        offered |= {config.mode for config in configs if not config.is_quantized}
    return offered
