"""From what the adaptor can do to what may be tried: approach, constraints, recipes, groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inc_core.quant.constraint import OpConstraint
from inc_core.quant.ledger import Decision
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FLOAT_MODES, OpCapability, OpConfig, TensorSpec
from inc_core.quant.stated import Stated, check, permits, stated_constraints

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

    Constraints are merged field by field, ``model_wise`` < ``optype_wise`` < ``op_wise``, later
    patterns over earlier ones. A pattern must match a whole op type or name. A float mode always
    stays, so that every op can fall back.

    Args:
        capabilities: What the adaptor offers, in execution order.
        approach: Which quantized modes may be used: a key of ``MODES``.
        model_wise: Constraint on every op.
        optype_wise: Constraints by regular expression of the op type.
        op_wise: Constraints by regular expression of the op name.
        recipes: Switches by name; only ``first_conv_or_matmul_quantization`` narrows.
        sizes: Calibration sizes.
        option_sets: Model-wide option sets, the default first.

    Raises:
        ConfigError: If a constraint matches no op, or states a value that no matching op offers, or
            values that none offers together; lists every such problem.
    """
    narrower = _Narrower(approach, recipes)
    offered = [narrower.by_approach(capability) for capability in capabilities]
    stated = stated_constraints(offered, model_wise, optype_wise, op_wise)
    check(stated)
    narrowed = [narrower.by_user(capability, stated) for capability in offered]
    grouped = narrower.by_group(offered, narrowed)
    return TuningSpace(
        capabilities=grouped,
        calib_samples=tuple(sizes) if _needs_data(grouped, option_sets) and sizes else (0,),
        option_sets=tuple(option_sets) or ((),),
        decisions=tuple(narrower.decisions),
    )


class _Narrower:
    """Narrows capabilities step by step and keeps the decisions."""

    def __init__(self, approach: str, recipes: Mapping[str, bool]) -> None:
        self._approach = approach
        self._first_is_float = recipes.get(FIRST_OP) is False
        self.decisions: list[Decision] = []

    def by_approach(self, capability: OpCapability) -> OpCapability:
        """Leave the modes that the approach allows."""
        if not _quantized(capability.configs):
            self._force(capability, _note(capability), "adaptor")
            return capability
        modes = MODES[self._approach] + FLOAT_MODES
        kept = tuple(config for config in capability.configs if config.mode in modes)
        if not _quantized(kept):
            modes_offered = dict.fromkeys(c.mode for c in _quantized(capability.configs))
            offered = " and ".join(modes_offered)
            reason = f"the approach is {self._approach}, the adaptor offers only {offered} here"
            self._force(capability, reason, "adaptor")
        elif len(kept) < len(capability.configs):
            reason = f"the approach is {self._approach}: other modes are left out"
            self.decisions.append(Decision(capability.op, None, reason, "user"))
        return replace(capability, configs=kept)

    def by_user(self, capability: OpCapability, stated: Sequence[Stated]) -> OpCapability:
        """Leave what recipes and constraints allow."""
        if self._first_is_float and capability.first and _quantized(capability.configs):
            self._force(capability, f"recipes.{FIRST_OP} is false", "user")
            capability = _only_float(capability)
        merged, places = OpConstraint(), []
        for one in stated:
            if one.constraint != OpConstraint() and capability.op in one.matching:
                merged = one.constraint.merged_over(merged)
                places.append(one.where)
        allowed = tuple(config for config in capability.configs if permits(merged, config))
        if not _floats(allowed):
            # every op can fall back, to the float mode it would have had
            allowed += _floats(capability.configs)[:1]
        before, after = len(capability.configs), len(allowed)
        where = " and ".join(places)
        if _quantized(capability.configs) and not _quantized(allowed):
            self._force(
                replace(capability, configs=allowed), f"only float is left by {where}", "user"
            )
        elif after < before:
            reason = f"{after} of {before} ways to run it are left by {where}"
            self.decisions.append(Decision(capability.op, None, reason, "user"))
        return replace(capability, configs=allowed)

    def by_group(
        self, offered: Sequence[OpCapability], narrowed: Sequence[OpCapability]
    ) -> tuple[OpCapability, ...]:
        """Take from every op of a group what was taken from one of them."""
        before, after = _common_ways(offered), _common_ways(narrowed)
        kept = []
        for capability in narrowed:
            group = capability.group or ""
            lost = before.get(group, set()) - after.get(group, set())
            kept.append(
                replace(
                    capability,
                    configs=tuple(c for c in capability.configs if _way(c) not in lost),
                )
            )
        # what was float before is the cause, not what became so here
        forced = {
            c.group: c.op.name for c in (*kept, *narrowed) if c.group and not _quantized(c.configs)
        }
        return tuple(
            self._with_group(old, new, forced) for old, new in zip(narrowed, kept, strict=True)
        )

    def _with_group(
        self, old: OpCapability, new: OpCapability, forced: Mapping[str, str]
    ) -> OpCapability:
        cause = forced.get(new.group or "")
        if cause is not None and _quantized(old.configs):
            reason = f"{cause!r} is float, and both must switch together"
            if cause == new.op.name:
                reason = "no choice is left that all ops of its group offer"
            self._force(new, reason, "adaptor")
            return _only_float(new)
        if len(new.configs) < len(old.configs):
            reason = "what another op of its group cannot do is left out"
            self.decisions.append(Decision(new.op, None, reason, "adaptor"))
        return new

    def _force(self, capability: OpCapability, reason: str, by: str) -> None:
        """Note that an op stays float."""
        config = _floats(capability.configs)[0]
        self.decisions.append(Decision(capability.op, config, reason, by))


def _note(capability: OpCapability) -> str:
    return capability.note or "the adaptor has no quantized kernel for it"


def _needs_data(
    capabilities: Sequence[OpCapability], option_sets: Sequence[tuple[str, ...]]
) -> bool:
    """Whether calibration can make a difference: for an op, or for an option such as a bias's."""
    needed = any(config.needs_calibration for c in capabilities for config in c.configs)
    return needed or any(option_sets)


def _common_ways(
    capabilities: Sequence[OpCapability],
) -> dict[str, set[tuple[str, TensorSpec | None]]]:
    """Return by group the ways to compute that each of its ops has."""
    ways: dict[str, set[tuple[str, TensorSpec | None]]] = {}
    for capability in capabilities:
        if capability.group:
            own = {_way(config) for config in _quantized(capability.configs)}
            ways[capability.group] = ways.get(capability.group, own) & own
    return ways


def _way(config: OpConfig) -> tuple[str, TensorSpec | None]:
    """Return what must agree within a group: weights may differ."""
    return config.mode, config.activation


def _quantized(configs: Sequence[OpConfig]) -> tuple[OpConfig, ...]:
    return tuple(config for config in configs if config.is_quantized)


def _floats(configs: Sequence[OpConfig]) -> tuple[OpConfig, ...]:
    return tuple(config for config in configs if not config.is_quantized)


def _only_float(capability: OpCapability) -> OpCapability:
    return replace(capability, configs=_floats(capability.configs))
