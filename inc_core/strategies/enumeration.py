"""Every recipe of a space by number, and the numbers in another order: nothing is ever listed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from math import gcd, prod
from typing import Any

from inc_core.hookspecs.strategy import Proposals
from inc_core.quant.recipe import Recipe
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import OpCapability, OpConfig, OpKey

__all__ = ["RecipeNumbers", "propose_each", "scattered", "shuffled"]

FEISTEL_ROUNDS = 4  # from which on no attack below 2 ** half tells it from a random permutation


class RecipeNumbers:
    """Numbers the recipes of a space from 0 to ``size - 1``, each once: digits of a mixed radix.

    A digit is the option set, the calibration size, or the choice of one group of ops, which is
    quantized as a whole or not at all. Float is among the choices of every group.
    """

    def __init__(self, space: TuningSpace) -> None:
        self._space = space
        self._units = _units(space)
        self._radices = [
            len(space.option_sets),
            len(space.calib_samples),
            *(sum(map(_combinations, _sides(unit))) for unit in self._units),
        ]

    @property
    def size(self) -> int:
        """How many recipes there are."""
        return prod(self._radices)

    def recipe(self, number: int) -> Recipe:
        """Return the recipe of a number."""
        digits = []
        for radix in self._radices:
            number, digit = divmod(number, radix)
            digits.append(digit)
        ops = {c.op: c.configs[0] for c in self._space.capabilities}
        for unit, digit in zip(self._units, digits[2:], strict=True):
            ops.update(_choice(unit, digit))
        return Recipe(ops, self._space.calib_samples[digits[1]], self._space.option_sets[digits[0]])


def propose_each(
    space: TuningSpace, numbers: Iterator[int], indexed: RecipeNumbers, limit: int, width: int
) -> Proposals:
    """Yield the default recipe, then those of ``numbers``, at most ``limit``, ``width`` at a time."""
    default = space.default()
    yield default
    others = (recipe for recipe in map(indexed.recipe, numbers) if recipe != default)
    left = islice(others, limit - 1)
    while batch := list(islice(left, width)):
        yield batch if width > 1 else batch[0]


def shuffled(size: int, key: bytes) -> Iterator[int]:
    """Yield ``0 .. size - 1`` in an order as good as random, each once, in constant memory.

    A Feistel network over the least even number of bits, walked until the result is in range.

    Source: Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains".
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    for index in range(size):
        index = _encrypted(index, half, key)
        while index >= size:
            index = _encrypted(index, half, key)
        yield index


def scattered(size: int) -> Iterator[int]:
    """Yield ``0 .. size - 1``, each once, so that any first part is spread over the whole.

    Multiples of a step near the golden section, modulo ``size``; it starts with 0.
    """
    step = max(1, size * 618_033_989 // 1_000_000_000)
    while gcd(step, size) > 1:
        step += 1
    return (index * step % size for index in range(size))


def _encrypted(index: int, half: int, key: bytes) -> int:
    mask = (1 << half) - 1
    count = (half + 7) // 8
    left, right = index >> half, index & mask
    for number in range(FEISTEL_ROUNDS):
        text = key + bytes([number]) + right.to_bytes(count, "big")
        mixed = int.from_bytes(hashlib.shake_128(text).digest(count), "big")
        left, right = right, left ^ (mixed & mask)
    return left << half | right


def _units(space: TuningSpace) -> list[tuple[OpCapability, ...]]:
    """Return what is decided together: groups of ops that can be quantized, and single ops."""
    members: dict[Any, list[OpCapability]] = {}
    for capability in space.capabilities:
        grouped = capability.group is not None and len(_sides((capability,))) > 1
        members.setdefault(capability.group if grouped else capability.op, []).append(capability)
    return [tuple(unit) for unit in members.values()]


def _sides(unit: Sequence[OpCapability]) -> list[list[tuple[OpConfig, ...]]]:
    """Return the members' quantized configs, and their float ones; a side that is empty is left out."""
    both = (
        [tuple(c for c in member.configs if c.is_quantized is side) for member in unit]
        for side in (True, False)
    )
    return [columns for columns in both if all(columns)]


def _combinations(columns: Sequence[Sequence[OpConfig]]) -> int:
    return prod(map(len, columns))


def _choice(unit: Sequence[OpCapability], digit: int) -> dict[OpKey, OpConfig]:
    for columns in _sides(unit):
        count = _combinations(columns)
        if digit < count:
            chosen = {}
            for member, column in zip(unit, columns, strict=True):
                digit, k = divmod(digit, len(column))
                chosen[member.op] = column[k]
            return chosen
        digit -= count
    raise AssertionError("the radix counts every choice")
