"""What each choice saves: measured where the adaptor can time ops, guessed from work otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from inc_core.quant.spec import OpConfig, OpKey
from inc_core.strategies.frontier.chain import chain_selections
from inc_core.strategies.frontier.variables import Column, Variables

if TYPE_CHECKING:
    from inc_core.hookspecs.adaptor import LatencyTable
    from inc_core.hookspecs.strategy import Measurements

__all__ = ["Gains"]

Array: TypeAlias = "np.ndarray[Any, Any]"

# Share of an op's float time that a kind of kernel usually saves, where nothing is measured.
_USUAL_SAVING = {"static": 0.6, "dynamic": 0.45, "weight_only": 0.4, "bf16": 0.35, "fp16": 0.35}


@dataclass(frozen=True)
class Gains:
    """Savings as shares of the float model's time.

    Attributes:
        alone: Saving of each column, shape ``(M,)``; negative where it is slower than float.
        edges: Pairs of groups with a conversion between them, shape ``(E, 2)``.
        costs: What it costs where exactly one of the two is static, shape ``(E,)``.
        is_static: Which columns are static.
        owner: Group of each column.
        measured: Whether a latency table is behind it.
        share: Of the model's time that the groups of ops take; savings are shares of theirs.
    """

    alone: Array
    edges: Array
    costs: Array
    is_static: Array
    owner: Array
    measured: bool = field(default=False)
    share: float = field(default=1.0)

    @classmethod
    def measure(cls, variables: Variables, measure: Measurements | None) -> Gains:
        """Ask what there is to know; without anything every op weighs the same."""
        table = None if measure is None else measure.latency()
        work = {} if measure is None else measure.work()
        seconds = {} if table is None else table.seconds
        scale = _seconds_per_work(seconds, variables, work)
        alone = np.array(
            [
                sum(
                    _saving(
                        column,
                        op,
                        config,
                        seconds,
                        variables.base.ops[op],
                        scale * work.get(op, 1.0),
                    )
                    for op, config in column.configs.items()
                )
                for column in variables.columns
            ],
            dtype=float,
        )
        total = sum(
            seconds.get(op, {}).get(variables.base.ops[op], scale * work.get(op, 1.0))
            for group in variables.groups
            for op in group
        )
        total = total or 1.0
        edges, costs = _edges(variables, table)
        owner, static = variables.owner, variables.is_static
        grouped = {op for group in variables.groups for op in group}
        fixed = sum(max(seconds[op].values()) for op in seconds if op not in grouped)
        return cls(
            alone / total,
            edges,
            costs / total,
            static,
            owner,
            table is not None,
            total / (total + fixed),
        )

    @cached_property
    def most(self) -> float:
        """A saving that no selection exceeds; reached where conversions are between neighbours alone."""
        if not len(self.edges):
            best = np.zeros(int(self.owner.max(initial=-1)) + 1)
            np.maximum.at(best, self.owner, self.alone)
            return float(best.sum())
        # conversions that are left out only cost, so that what is best without them is a bound
        near = self.edges[:, 1] == self.edges[:, 0] + 1
        chain = replace(self, edges=self.edges[near], costs=self.costs[near])
        free = np.zeros(len(self.alone))
        return float(chain.of(chain_selections(free, chain, np.zeros(1)))[0])

    def of(self, selections: Array) -> Array:
        """Return the saving of each selection, shape ``(K, M)`` to ``(K,)``."""
        always = selections.all(axis=0)
        varying = selections.any(axis=0) & ~always
        # what all selections share is summed once
        gains = float(self.alone[always].sum()) + selections[:, varying] @ self.alone[varying]
        if len(self.edges):
            gains = gains - (self._crossings(selections) @ self.costs)
        return np.asarray(gains)

    def _crossings(self, selections: Array) -> Array:
        groups = int(self.edges.max()) + 1
        static = np.zeros((len(selections), max(groups, int(self.owner.max(initial=0)) + 1)), bool)
        rows, columns = np.nonzero(selections[:, self.is_static])
        static[rows, self.owner[self.is_static][columns]] = True
        return np.asarray(static[:, self.edges[:, 0]] != static[:, self.edges[:, 1]])


def _seconds_per_work(
    seconds: Mapping[OpKey, Mapping[OpConfig, float]],
    variables: Variables,
    work: Mapping[OpKey, float],
) -> float:
    """Return what a unit of work takes, so that ops that were not timed fit among the others."""
    timed = [
        (table[variables.base.ops[op]], work.get(op, 1.0))
        for op, table in seconds.items()
        if op in variables.base.ops and variables.base.ops[op] in table
    ]
    total = sum(share for _, share in timed)
    return sum(value for value, _ in timed) / total if total > 0 else 1.0


def _saving(
    column: Column,
    op: OpKey,
    config: OpConfig,
    seconds: Mapping[OpKey, Mapping[OpConfig, float]],
    base: OpConfig,
    usual: float,
) -> float:
    table = seconds.get(op, {})
    if base in table:
        if config in table:
            return table[base] - table[config]
        # range rules do not change the kernel: a config of the same kind takes the same time
        alike = [
            value
            for other, value in table.items()
            if (other.mode, other.precision) == (config.mode, config.precision)
        ]
        if alike:
            return table[base] - alike[0]
        usual = table[base]
    if config == base:
        return 0.0
    return usual * _USUAL_SAVING.get(config.mode, 0.3)


def _edges(variables: Variables, table: LatencyTable | None) -> tuple[Array, Array]:
    if table is None or not table.boundary:
        return np.zeros((0, 2), dtype=np.intp), np.zeros(0)
    group = {op: k for k, ops in enumerate(variables.groups) for op in ops}
    between: dict[tuple[int, int], float] = {}
    for (one, other), cost in table.boundary.items():
        if one in group and other in group and group[one] != group[other]:
            key = (min(group[one], group[other]), max(group[one], group[other]))
            between[key] = between.get(key, 0.0) + cost
    if not between:
        return np.zeros((0, 2), dtype=np.intp), np.zeros(0)
    return np.array(list(between), dtype=np.intp), np.array(list(between.values()))
