"""What the search decides on: one variable per group of ops, one column per choice of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FLOAT_MODES, OpCapability, OpConfig, OpKey

__all__ = ["Column", "Variables"]

Array: TypeAlias = "np.ndarray[Any, Any]"
Kind: TypeAlias = "tuple[str, str]"

FLOATS = frozenset(FLOAT_MODES)


@dataclass(frozen=True)
class Column:
    """One way to run the ops of a group that is not full float precision.

    Attributes:
        group: Index of the group.
        configs: Config of each op of the group.
        kind: Mode and precision; configs of one kind have the same kernels.
    """

    group: int
    configs: Mapping[OpKey, OpConfig]
    kind: Kind


@dataclass(frozen=True)
class Variables:
    """The columns of a space; a *selection* is a boolean vector with at most one per group.

    Attributes:
        base: The recipe in which every op has full float precision.
        groups: The ops that switch together, in execution order.
        columns: Sorted by group; the first of a group is its best by the adaptor's order.
    """

    base: Recipe
    groups: tuple[tuple[OpKey, ...], ...]
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, space: TuningSpace, base: Recipe, scheme: int = 0) -> Variables:
        """Build the variables of a space.

        Args:
            space: What may be proposed.
            base: Carries calibration size and options.
            scheme: Which of the configs of a kind is used: 0 the best, 1 the second ...
        """
        members: dict[Any, list[OpCapability]] = {}
        for capability in space.capabilities:
            if len(capability.configs) > 1:
                alone = capability.group is None or not _quantizable(capability)
                label = capability.op if alone else capability.group
                members.setdefault(label, []).append(capability)
        groups = tuple(tuple(c.op for c in group) for group in members.values())
        columns = [
            Column(index, configs, kind)
            for index, group in enumerate(members.values())
            for kind, configs in _choices(group, scheme)
        ]
        floats = {c.op: full_precision(c) for c in space.capabilities}
        return cls(base.with_ops(floats), groups, tuple(columns))

    @cached_property
    def owner(self) -> Array:
        """Group of each column, shape ``(M,)``."""
        return np.array([column.group for column in self.columns], dtype=np.intp)

    @cached_property
    def first(self) -> Array:
        """Selection of the best choice of every group."""
        first = np.ones(len(self.columns), dtype=bool)
        first[1:] = self.owner[1:] != self.owner[:-1]
        return first

    @cached_property
    def is_static(self) -> Array:
        """Which columns pass integers on, so that conversions arise at their borders, shape ``(M,)``."""
        return np.array([column.kind[0] == "static" for column in self.columns], dtype=bool)

    @cached_property
    def is_quantized(self) -> Array:
        """Which columns are no float format, boolean, shape ``(M,)``."""
        return np.array([column.kind[0] not in FLOATS for column in self.columns], dtype=bool)

    def recipe(self, selection: Array) -> Recipe:
        """Return the recipe of a selection."""
        configs: dict[OpKey, OpConfig] = {}
        for index in np.flatnonzero(selection):
            configs.update(self.columns[index].configs)
        return self.base.with_ops(configs)


def full_precision(capability: OpCapability) -> OpConfig:
    """Return the float config that loses least: ``fp32`` where there is one."""
    floats = [config for config in capability.configs if not config.is_quantized]
    return next((config for config in floats if config.mode == "fp32"), floats[0])


def _quantizable(capability: OpCapability) -> bool:
    return any(config.is_quantized for config in capability.configs)


def _kind(config: OpConfig) -> Kind:
    return config.mode, config.precision


def _choices(
    group: Sequence[OpCapability], scheme: int
) -> list[tuple[Kind, dict[OpKey, OpConfig]]]:
    """Return the choices of a group, by the order of the member that has most of them."""
    leader = max(group, key=lambda capability: len(capability.configs))
    kinds = dict.fromkeys(
        _kind(config) for config in leader.configs if config != full_precision(leader)
    )
    # the first column stands for "quantize as the adaptor likes best"
    ordered = sorted(kinds, key=lambda kind: kind[0] in FLOATS)
    return [(kind, {c.op: _member(c, kind, scheme) for c in group}) for kind in ordered]


def _member(capability: OpCapability, kind: Kind, scheme: int) -> OpConfig:
    """Return a member's config of a kind, else of the mode, else any on the same side."""
    quantized = kind[0] not in FLOATS
    side = [c for c in capability.configs if c.is_quantized == quantized]
    if not quantized:
        same = [c for c in side if _kind(c) == kind]
        return same[0] if same else full_precision(capability)
    for wanted in (kind, kind[:1]):
        same = [c for c in side if _kind(c)[: len(wanted)] == wanted]
        if same:
            return same[min(scheme, len(same) - 1)]
    return side[0]
