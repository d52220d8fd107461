"""The cheapest way to split a graph in two, where each node has a preference and each edge a price."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Mapping
from itertools import pairwise
from typing import TypeVar

__all__ = ["minimum_cut"]

Node = TypeVar("Node", bound=Hashable)

# Sums of floats that should be 0 are not quite.
NOTHING = 1e-15


def minimum_cut(gains: Mapping[Node, float], edges: Mapping[tuple[Node, Node], float]) -> set[Node]:
    """Return the set of nodes with the largest gain, less the price of the edges that leave it.

    Args:
        gains: What having a node in the set brings; may be negative.
        edges: Price, at least 0, of having exactly one node of a pair in the set.

    Returns:
        The smallest such set.

    Source: Picard & Ratliff 1975; solved by augmenting along shortest paths (Edmonds & Karp 1972).
    """
    capacity: dict[Node, dict[Node, float]] = defaultdict(dict)
    for (first, second), price in edges.items():
        capacity[first][second] = capacity[first].get(second, 0.0) + price
        capacity[second][first] = capacity[second].get(first, 0.0) + price
    excess = {node: gain for node, gain in gains.items() if gain > NOTHING}
    deficit = {node: -gain for node, gain in gains.items() if gain < -NOTHING}
    for node in list(excess):
        while excess[node] > NOTHING:
            path = _path(node, capacity, deficit)
            if not path:
                break
            _push(path, capacity, excess, deficit)
    return _reachable([n for n, left in excess.items() if left > NOTHING], capacity)


def _path(
    start: Node, capacity: Mapping[Node, Mapping[Node, float]], deficit: Mapping[Node, float]
) -> list[Node]:
    """Return the shortest path with capacity left to a node that still lacks; empty without one."""
    before: dict[Node, Node] = {start: start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if deficit.get(node, 0.0) > NOTHING:
            path = [node]
            while path[-1] != start:
                path.append(before[path[-1]])
            return path[::-1]
        for other, left in capacity.get(node, {}).items():
            if left > NOTHING and other not in before:
                before[other] = node
                queue.append(other)
    return []


def _push(
    path: list[Node],
    capacity: Mapping[Node, dict[Node, float]],
    excess: dict[Node, float],
    deficit: dict[Node, float],
) -> None:
    steps = list(pairwise(path))
    amount = min(excess[path[0]], deficit[path[-1]], *(capacity[a][b] for a, b in steps))
    for a, b in steps:
        capacity[a][b] -= amount
        capacity[b][a] += amount
    excess[path[0]] -= amount
    deficit[path[-1]] -= amount


def _reachable(starts: list[Node], capacity: Mapping[Node, Mapping[Node, float]]) -> set[Node]:
    found, stack = set(starts), list(starts)
    while stack:
        for other, left in capacity.get(stack.pop(), {}).items():
            if left > NOTHING and other not in found:
                found.add(other)
                stack.append(other)
    return found
