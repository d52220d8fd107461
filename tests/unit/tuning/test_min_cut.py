from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from inc_core.tuning.min_cut import minimum_cut


def value(chosen, gains, edges):
    cut = sum(price for (a, b), price in edges.items() if (a in chosen) != (b in chosen))
    return sum(gains[node] for node in chosen) - cut


@pytest.mark.parametrize("seed", range(20))
def test_no_other_set_is_better(seed):
    rng = np.random.default_rng(seed)
    nodes = range(8)
    gains = {node: float(rng.normal()) for node in nodes}
    edges = {
        (a, b): float(rng.exponential(0.5))
        for a, b in itertools.combinations(nodes, 2)
        if rng.random() < 0.4
    }
    best = max(
        value(set(chosen), gains, edges)
        for size in range(9)
        for chosen in itertools.combinations(nodes, size)
    )
    assert value(minimum_cut(gains, edges), gains, edges) == pytest.approx(best)


def test_nothing_is_chosen_where_nothing_is_gained():
    assert minimum_cut({"a": -1.0, "b": 0.0}, {("a", "b"): 1.0}) == set()


def test_long_chains_are_quick():
    rng = np.random.default_rng(0)
    count = 10_000
    gains = {node: float(rng.normal()) for node in range(count)}
    edges = {(node, node + 1): 0.5 for node in range(count - 1)}
    start = time.process_time()
    minimum_cut(gains, edges)
    assert time.process_time() - start < 3.0
