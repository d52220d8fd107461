"""``Problem``: a model that does not exist, with a real tuning space."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpCapability, OpKey
from inc_core.testing.simulator.choices import CHOICES
from inc_core.testing.simulator.constants import Constants
from inc_core.testing.simulator.families import Damage, make_damage
from inc_core.tuning.criterion import Criterion

__all__ = ["Problem", "make_problem"]

Array: TypeAlias = "np.ndarray[Any, Any]"


@dataclass(frozen=True)
class Problem:
    """Ops, choices, what they cost in accuracy and what they save.

    A *choice vector* has one index into ``choices`` per op; several are a matrix.

    Attributes:
        family: Where the loss comes from.
        seed: Of everything random.
        choices: Names of the choices, best first, the last is ``"fp32"``.
        damage: Of static int8.
        factors: Damage of each choice as a multiple of static int8's, shape ``(N, C)``.
        seconds: True time of each op in each choice, shape ``(N, C)``; infinite if not offered.
        edges: Pairs of ops, one of which reads the other's result, shape ``(E, 2)``.
        boundary: True time of a conversion between the ops of an edge, if exactly one is static,
            shape ``(E,)``.
        constants: The rest.
    """

    family: str
    seed: int
    choices: tuple[str, ...]
    damage: Damage
    factors: Array
    seconds: Array
    edges: Array
    boundary: Array
    constants: Constants

    @property
    def size(self) -> int:
        """Number of ops."""
        return len(self.seconds)

    @property
    def criterion(self) -> Criterion:
        """The accuracy goal."""
        return Criterion(self.constants.accuracy, self.constants.tolerance)

    @cached_property
    def space(self) -> TuningSpace:
        """The tuning space: one op per row of ``seconds``."""
        configs = [CHOICES[name].config for name in self.choices]
        return TuningSpace(
            tuple(
                OpCapability(
                    OpKey(f"op{i}", "Conv" if i % 3 else "MatMul"),
                    tuple(config for config, s in zip(configs, row, strict=True) if s < np.inf),
                )
                for i, row in enumerate(self.seconds)
            )
        )

    @cached_property
    def is_integer(self) -> Array:
        """Which choices compute or store integers, boolean, shape ``(C,)``."""
        return np.array([CHOICES[name].config.is_quantized for name in self.choices])

    @cached_property
    def is_static(self) -> Array:
        """Which choices pass integers on: at their borders conversions cost, shape ``(C,)``."""
        return np.array([CHOICES[name].config.mode == "static" for name in self.choices])

    @cached_property
    def damages(self) -> Array:
        """What each op alone costs in each choice, in percent, shape ``(N, C)``."""
        return self.damage.total[:, None] * self.factors

    def vector(self, recipe: Recipe) -> Array:
        """Return the choice vector of a recipe of this problem's space."""
        index = {CHOICES[name].config: k for k, name in enumerate(self.choices)}
        return np.array([index[recipe.ops[op]] for op in self._ops])

    def recipe(self, vector: Array) -> Recipe:
        """Return the recipe of a choice vector."""
        configs = [CHOICES[name].config for name in self.choices]
        return Recipe({op: configs[k] for op, k in zip(self._ops, vector, strict=True)})

    @cached_property
    def _ops(self) -> tuple[OpKey, ...]:
        return tuple(capability.op for capability in self.space.capabilities)

    def mean_losses(self, vectors: Array) -> Array:
        """Return the loss in percent on endless data, for choice vectors of shape ``(K, N)``."""
        rows = np.arange(self.size)
        costs = self.damages[rows, vectors]
        losses = _summed(costs, self.damage.power)
        losses = losses + self._pair_losses(costs, self.is_integer[vectors])
        losses = losses + self._block_losses(self.is_integer[vectors])
        if self.family != "non_monotone":
            losses = np.maximum(losses, 0.0)
        return np.asarray(100.0 * -np.expm1(-losses / 100.0))

    def _pair_losses(self, costs: Array, integer: Array) -> Array:
        if not len(self.damage.pairs):
            return np.zeros(len(costs))
        left, right = self.damage.pairs.T
        both = integer[:, left] & integer[:, right] & (left != right)
        sizes = np.sqrt(np.abs(costs[:, left] * costs[:, right]))
        return np.asarray((sizes * both) @ self.damage.pair_weights)

    def _block_losses(self, integer: Array) -> Array:
        blocks = self.damage.blocks
        if blocks is None:
            return np.zeros(len(integer))
        member = blocks[:, None] == np.arange(len(self.damage.block_damage))
        counts = integer.astype(float) @ member
        sizes = np.maximum(member.sum(axis=0), 3)
        parts = np.where(counts >= 3, np.minimum(1.0, (counts - 2) / (sizes - 2)), 0.0)
        return np.asarray(parts @ self.damage.block_damage)

    def losses(self, vectors: Array) -> Array:
        """Return the loss in percent on the evaluation set, for vectors of shape ``(K, N)``."""
        means = self.mean_losses(vectors)
        quantized = self.is_integer[vectors].mean(axis=1)
        constants = self.constants
        disagreement = constants.churn * quantized + np.abs(means) / 100.0
        deviation = 100.0 / constants.accuracy * np.sqrt(disagreement / constants.samples)
        return np.asarray(means + deviation * self.luck(vectors) * (quantized > 0))

    def luck(self, vectors: Array, salt: int = 0) -> Array:
        """Return a standard normal number for each vector, always the same for the same vector."""
        keys: Array = self._keys[np.arange(self.size), vectors].sum(axis=1, dtype=np.uint64)
        first, second = (_mix(keys + np.uint64(2 * salt + k)) for k in (1, 2))
        # Box and Muller; the 0.5 keeps the logarithm finite
        scale = 2.0**-53
        radius = np.sqrt(-2.0 * np.log(((first >> np.uint64(11)).astype(float) + 0.5) * scale))
        angle = 2.0 * np.pi * (second >> np.uint64(11)).astype(float) * scale
        return np.asarray(radius * np.cos(angle))

    @cached_property
    def _keys(self) -> Array:
        rng = np.random.default_rng([self.seed, 77])
        return np.asarray(rng.integers(2**63, size=self.seconds.shape, dtype=np.uint64))

    def loss(self, vector: Array) -> float:
        """Return the loss of one choice vector, in percent of the float accuracy."""
        return float(self.losses(vector[None])[0])

    def times(self, vectors: Array) -> Array:
        """Return the true seconds of one inference, conversions included, shape ``(K,)``."""
        ops = self.seconds[np.arange(self.size), vectors].sum(axis=1)
        static = self.is_static[vectors]
        return np.asarray(
            ops + (static[:, self.edges[:, 0]] != static[:, self.edges[:, 1]]) @ self.boundary
        )

    def gain(self, vector: Array) -> float:
        """Return the seconds that a choice vector saves against float."""
        return self.float_seconds - float(self.times(vector[None])[0])

    @cached_property
    def float_seconds(self) -> float:
        """Seconds of the float model."""
        return float(self.seconds[:, -1].sum())

    def fits(self, vector: Array) -> bool:
        """Whether a choice vector meets the accuracy goal on the evaluation set."""
        return self.loss(vector) <= 100.0 * self.constants.tolerance


def _summed(costs: Array, power: float) -> Array:
    if power == 1.0:
        return np.asarray(costs.sum(axis=1))
    return np.asarray((np.abs(costs) ** power).sum(axis=1) ** (1.0 / power))


def _mix(keys: Array) -> Array:
    """Scramble 64-bit keys (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        keys = keys + np.uint64(0x9E3779B97F4A7C15)
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(keys ^ (keys >> np.uint64(31)))


def make_problem(
    family: str,
    size: int = 100,
    seed: int = 0,
    *,
    choices: Sequence[str] = ("static", "fp32"),
    constants: Constants | None = None,
) -> Problem:
    """Make a problem; equal arguments make equal problems.

    Args:
        family: A name in ``FAMILIES`` or ``HELD_OUT``.
        size: Number of ops, 2 or more.
        seed: Of everything random.
        choices: Names in ``CHOICES``, best first; ``"static"`` first and ``"fp32"`` last.
        constants: Model, data and measurements.

    Raises:
        StrategyError: If there is no such family.
    """
    constants = constants or Constants()
    rng = np.random.default_rng([seed, zlib.crc32(family.encode()), size])
    factors_normal = rng.multivariate_normal(
        [0.0, 0.0], [[1.0, constants.correlation], [constants.correlation, 1.0]], size
    )
    gains = np.exp(constants.gain_sigma * factors_normal[:, 0])
    shares = np.exp(constants.damage_sigma * factors_normal[:, 1])
    damage = make_damage(family, shares / shares.sum(), rng)
    gains /= gains.sum()
    edges = _edges(size, damage.skip)
    boundary = damage.boundary * gains.mean() * np.exp(rng.normal(0.0, 0.5, len(edges)))
    float_seconds = gains / rng.uniform(0.4, 0.75, size)
    factors, seconds = _choices(choices, float_seconds, gains, rng)
    return Problem(
        family, seed, tuple(choices), damage, factors, seconds, edges, boundary, constants
    )


def _edges(size: int, skip: int) -> Array:
    """Return who reads whom: a chain, and over skip connections."""
    chain = np.stack([np.arange(size - 1), np.arange(1, size)], axis=1)
    if not skip:
        return chain
    starts = np.arange(0, size - skip, skip)
    return np.concatenate([chain, np.stack([starts, starts + skip], axis=1)])


def _choices(
    names: Sequence[str], float_seconds: Array, gains: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    factors, seconds = [], []
    for name in names:
        choice = CHOICES[name]
        size = len(gains)
        factors.append(choice.damage * np.exp(rng.normal(0.0, choice.damage_sigma, size)))
        saved = np.minimum(gains * rng.uniform(*choice.saving, size), 0.9 * float_seconds)
        offered = rng.random(size) < choice.offered
        seconds.append(np.where(offered, float_seconds - saved, np.inf))
    return np.stack(factors, 1), np.stack(seconds, 1)
