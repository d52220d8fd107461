"""The best that can be had: exhaustive for small problems, greedy with swaps for the others."""

from __future__ import annotations

import numpy as np

from inc_core.testing.simulator.problem import Array, Problem

__all__ = ["optimum"]

EXHAUSTIVE_OPS = 12
EXHAUSTIVE_VECTORS = 531_441  # three choices for each of twelve ops
SWAPS_UP_TO = 1_000  # ops; beyond, greedy alone is within a fraction of a percent
PARTNERS = 15


def optimum(problem: Problem) -> float:
    """Return the largest saving in seconds of a recipe that meets the goal.

    Exact up to 12 ops as far as there are no more than 531,441 recipes; otherwise the best of
    greedy searches with swaps that see the true loss for nothing: very good, not proven.
    """
    offered = np.isfinite(problem.seconds).sum(axis=1)
    if problem.size <= EXHAUSTIVE_OPS and np.prod(offered.astype(float)) <= EXHAUSTIVE_VECTORS:
        return _exhaustive(problem)
    starts = 3 if problem.size <= 100 else 1
    rng = np.random.default_rng([problem.seed, 9])
    return max(_greedy(problem, 0.15 * (k > 0), rng) for k in range(starts))


def _exhaustive(problem: Problem) -> float:
    options = [np.flatnonzero(np.isfinite(row)) for row in problem.seconds]
    count = int(np.prod([len(row) for row in options]))
    best = 0.0
    for start in range(0, count, 65_536):
        index = np.arange(start, min(count, start + 65_536))
        vectors = np.empty((len(index), problem.size), dtype=np.intp)
        for op, row in enumerate(options):
            index, digit = np.divmod(index, len(row))
            vectors[:, op] = row[digit]
        gains = problem.float_seconds - problem.times(vectors)
        promising = gains > best
        if promising.any():
            vectors, gains = vectors[promising], gains[promising]
            fits = problem.losses(vectors) <= 100.0 * problem.constants.tolerance
            best = max(best, float(gains[fits].max(initial=0.0)))
    return best


def _greedy(problem: Problem, noise: float, rng: np.random.Generator) -> float:
    """Return the saving of a greedy search; every op may move several times."""
    vector = np.full(problem.size, problem.seconds.shape[1] - 1)
    savings = problem.seconds[:, -1:] - problem.seconds
    damages = np.maximum(problem.damages, 1e-9) * np.exp(noise * rng.normal(size=savings.shape))
    ratio = np.where(savings > 0, damages / np.maximum(savings, 1e-12), np.inf)
    for flat in np.argsort(ratio, axis=None):
        op, choice = divmod(int(flat), savings.shape[1])
        if not np.isfinite(ratio[op, choice]):
            break
        if savings[op, choice] > savings[op, vector[op]]:
            _move_if_fits(problem, vector, [op], [choice])
    best = problem.gain(vector)
    if problem.size <= SWAPS_UP_TO:
        for _ in range(3):
            _swap_pass(problem, vector, savings)
            if problem.gain(vector) <= best * (1 + 1e-6):
                break
            best = problem.gain(vector)
    return problem.gain(vector)


def _move_if_fits(problem: Problem, vector: Array, ops: list[int], choices: list[int]) -> bool:
    before = vector[ops].copy()
    gain = problem.gain(vector)
    vector[ops] = choices
    # where conversions cost, a first step may not pay but lets its neighbours follow
    pays = problem.gain(vector) > gain or problem.damage.boundary > 0
    if pays and problem.fits(vector):
        return True
    vector[ops] = before
    return False


def _swap_pass(problem: Problem, vector: Array, savings: Array) -> None:
    """Try each better choice of each op, alone or paid for by one other op's step down."""
    for op in range(problem.size):
        for choice in np.argsort(-savings[op]):
            if savings[op, choice] <= savings[op, vector[op]]:
                break
            if _move_if_fits(problem, vector, [op], [int(choice)]):
                break
            if _swap(problem, vector, savings, op, int(choice)):
                break


def _swap(problem: Problem, vector: Array, savings: Array, op: int, choice: int) -> bool:
    rows = np.arange(problem.size)
    plus = savings[op, choice] - savings[op, vector[op]]
    costs = problem.damages[rows, vector]
    cheap = (savings[rows, vector] > 0) & (savings[rows, vector] < plus) & (rows != op)
    partners = np.flatnonzero(cheap)
    partners = partners[np.argsort(-costs[partners])][:PARTNERS]
    if not len(partners):
        return False
    trials = np.repeat(vector[None], len(partners), axis=0)
    trials[:, op] = choice
    trials[np.arange(len(partners)), partners] = savings.shape[1] - 1
    gains = problem.float_seconds - problem.times(trials)
    good = (problem.losses(trials) <= 100.0 * problem.constants.tolerance) & (
        gains > problem.gain(vector)
    )
    if not good.any():
        return False
    vector[:] = trials[int(np.argmax(np.where(good, gains, -np.inf)))]
    return True
