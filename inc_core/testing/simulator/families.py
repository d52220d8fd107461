"""Where the loss of a simulated model comes from: one function per family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from inc_core.errors import StrategyError

__all__ = ["FAMILIES", "HELD_OUT", "Damage", "make_damage"]

Array: TypeAlias = "np.ndarray[Any, Any]"
NONE = np.zeros(0, dtype=np.intp)


@dataclass(frozen=True)
class Damage:
    """Losses in percent of the float accuracy, before saturation.

    Attributes:
        alone: What each op costs as static int8, shape ``(N,)``; negative if it helps.
        hidden: Ops whose part ``hidden_damage`` no sensitivity shows.
        hidden_damage: That part, in the order of ``hidden``.
        pairs: Ops that interact, shape ``(P, 2)``.
        pair_weights: Factor of the geometric mean of the damages of both, shape ``(P,)``.
        blocks: Block of each op, -1 for none, shape ``(N,)``.
        block_damage: What a wholly quantized block costs; nothing below three of its ops.
        power: Damages add up as ``(sum d**power) ** (1 / power)``.
        boundary: Mean conversion cost between neighbours, in mean savings of an op.
        skip: If above 0, every ``skip``-th op also reads the result of the one ``skip`` ops before.
    """

    alone: Array
    hidden: Array = field(default_factory=lambda: NONE)
    hidden_damage: Array = field(default_factory=lambda: NONE.astype(float))
    pairs: Array = field(default_factory=lambda: np.zeros((0, 2), dtype=np.intp))
    pair_weights: Array = field(default_factory=lambda: NONE.astype(float))
    blocks: Array | None = None
    block_damage: Array = field(default_factory=lambda: NONE.astype(float))
    power: float = 1.0
    boundary: float = 0.0
    skip: int = 0

    @property
    def total(self) -> Array:
        """What each op costs alone, hidden parts included."""
        total = self.alone.copy()
        total[self.hidden] += self.hidden_damage
        return total


Family: TypeAlias = "Callable[[Array, np.random.Generator], Damage]"


def make_damage(family: str, shares: Array, rng: np.random.Generator) -> Damage:
    """Return the damages of a family.

    Args:
        family: A name in ``FAMILIES`` or ``HELD_OUT``.
        shares: How the diffuse part is spread over the ops; sums to 1.
        rng: Decides the rest.

    Raises:
        StrategyError: If there is no such family.
    """
    known = {**FAMILIES, **HELD_OUT}
    if family not in known:
        raise StrategyError(f"no such family: {family!r}; there are {', '.join(known)}")
    return known[family](shares, rng)


def _benign(shares: Array, rng: np.random.Generator) -> Damage:
    return Damage(0.5 * shares)


def _few(shares: Array, rng: np.random.Generator) -> Damage:
    culprits, damage = _culprits(shares, rng)
    alone = 0.45 * shares
    alone[culprits] += damage
    return Damage(alone)


def _collapse(shares: Array, rng: np.random.Generator) -> Damage:
    alone = 0.6 * shares
    alone[rng.choice(len(shares), 2, replace=False)] += rng.uniform(25, 60, 2)
    return Damage(alone)


def _diffuse(shares: Array, rng: np.random.Generator) -> Damage:
    return Damage(3.0 * shares)


def _hard(shares: Array, rng: np.random.Generator) -> Damage:
    return Damage(12.0 * shares)


def _hidden(shares: Array, rng: np.random.Generator) -> Damage:
    culprits, damage = _culprits(shares, rng)
    return Damage(0.45 * shares, culprits, damage)


def _interactions(shares: Array, rng: np.random.Generator) -> Damage:
    size = len(shares)
    left = rng.integers(size - 1, size=2 * size)
    right = np.minimum(size - 1, left + 1 + rng.geometric(0.3, 2 * size))
    weights = rng.normal(0.15, 1.0, 2 * size)
    return Damage(2.5 * shares, pairs=np.stack([left, right], 1), pair_weights=weights)


def _blocks(shares: Array, rng: np.random.Generator) -> Damage:
    size = len(shares)
    blocks = np.arange(size) // 6
    guilty = rng.choice(blocks[-1] + 1, max(1, (blocks[-1] + 1) // 5), replace=False)
    damage = np.zeros(blocks[-1] + 1)
    damage[guilty] = rng.uniform(0.8, 4.0, len(guilty))
    return Damage(0.6 * shares, blocks=blocks, block_damage=damage)


def _non_monotone(shares: Array, rng: np.random.Generator) -> Damage:
    sign = np.where(rng.random(len(shares)) < 0.2, -1.0, 1.0)
    return Damage(4.0 * shares * sign)


def _boundary(shares: Array, rng: np.random.Generator) -> Damage:
    return Damage(3.0 * shares, boundary=0.3)


def _residual(shares: Array, rng: np.random.Generator) -> Damage:
    return Damage(3.0 * shares, boundary=0.3, skip=3)


def _heavy_tail(shares: Array, rng: np.random.Generator) -> Damage:
    tail = rng.pareto(1.1, len(shares))
    return Damage(6.0 * tail / tail.sum())


def _depth(shares: Array, rng: np.random.Generator) -> Damage:
    grown = shares * np.linspace(0.2, 3.0, len(shares)) ** 2
    return Damage(5.0 * grown / grown.sum())


def _worst_of(shares: Array, rng: np.random.Generator) -> Damage:
    root = np.sqrt(shares)
    return Damage(4.0 * root / np.linalg.norm(root), power=2.0)


def _clusters(shares: Array, rng: np.random.Generator) -> Damage:
    size = len(shares)
    run = max(2, size // 30)
    seen = _diffuse(shares, rng).alone * 0.3
    start, blind = rng.choice(max(1, size // run), 2, replace=size < 2 * run) * run
    seen[start : start + run] += rng.dirichlet(np.ones(len(seen[start : start + run]))) * 4.0
    hidden = np.arange(blind, min(size, blind + run))
    return Damage(seen, hidden, rng.dirichlet(np.ones(len(hidden))) * 3.0)


def _mixed(shares: Array, rng: np.random.Generator) -> Damage:
    tied = _interactions(shares, rng)
    culprits, damage = _culprits(shares, rng)
    return replace(tied, alone=1.5 * shares, hidden=culprits, hidden_damage=0.5 * damage)


def _culprits(shares: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    count = max(2, len(shares) // 40)
    chosen = rng.choice(len(shares), count, replace=False)
    return chosen, rng.dirichlet(np.ones(count)) * rng.uniform(2, 6)


# The default strategy was tuned on these ...
FAMILIES: Mapping[str, Family] = {
    "benign": _benign,
    "few": _few,
    "collapse": _collapse,
    "diffuse": _diffuse,
    "hard": _hard,
    "hidden": _hidden,
    "interactions": _interactions,
    "blocks": _blocks,
    "non_monotone": _non_monotone,
    "boundary": _boundary,
}

# ... and never on these: they show how far that carries.
HELD_OUT: Mapping[str, Family] = {
    "heavy_tail": _heavy_tail,
    "depth": _depth,
    "worst_of": _worst_of,
    "clusters": _clusters,
    "residual": _residual,
    "mixed": _mixed,
}
