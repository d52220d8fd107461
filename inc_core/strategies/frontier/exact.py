"""The knapsack as an integer program, where greedy's own bound shows that it may leave something."""

from __future__ import annotations

import logging
from typing import Any, TypeAlias

import numpy as np

from inc_core.strategies.frontier.gains import Gains
from inc_core.strategies.frontier.knapsack import fill, upper_bound
from inc_core.strategies.frontier.quiet import quiet_stdout

__all__ = ["polish"]

Array: TypeAlias = "np.ndarray[Any, Any]"

logger = logging.getLogger("inc_core.strategies")

MAX_GROUPS = 5_000
WORTH = 0.004  # of the saving: less is below what latencies are known to
NODES = 50  # of the branch and bound; a limit in seconds would make proposals depend on the machine


def polish(selection: Array, losses: Array, gains: Gains) -> Array:
    """Return the best selection that loses no more than this one is expected to.

    Args:
        selection: A good selection, boolean, shape ``(M,)``.
        losses: Of each column, shape ``(M,)``.
        gains: Savings and conversion costs.

    Without scipy, and beyond 5,000 groups, greedy has to do; the log says so.
    """
    budget = float(losses[selection].sum()) * (1 + 1e-9)
    filled = fill(selection, losses, gains, budget)
    saved = float(gains.of(filled[None])[0])
    if upper_bound(losses, gains, budget) - saved <= WORTH * abs(saved):
        return filled
    exact = _solve(losses, gains, budget)
    if exact is None or gains.of(exact[None])[0] < saved:
        return filled
    return exact


def _solve(losses: Array, gains: Gains, budget: float) -> Array | None:
    groups = int(gains.owner.max()) + 1
    if groups > MAX_GROUPS:
        logger.info("%d groups are more than %d: greedy choice", groups, MAX_GROUPS)
        return None
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
    except ImportError:
        logger.info("scipy is not installed: greedy choice (pip install 'inc-core[search]')")
        return None
    size, edges = len(losses), len(gains.edges)
    bounds = np.concatenate([[budget], np.ones(groups), np.zeros(2 * edges)])
    with quiet_stdout():
        found = milp(
            np.concatenate([-gains.alone, gains.costs]),
            constraints=LinearConstraint(_constraints(losses, gains, groups), -np.inf, bounds),
            # a crossing is 0 or 1 by itself once the choices are
            integrality=np.concatenate([np.ones(size), np.zeros(edges)]),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": WORTH / 2, "node_limit": NODES},
        )
    if found.x is None:
        return None
    selection = found.x[:size] > 0.5
    return np.asarray(selection) if losses[selection].sum() <= budget * (1 + 1e-6) else None


def _constraints(losses: Array, gains: Gains, groups: int) -> Any:
    """Return the rows: one budget, one choice per group, and |static - static'| <= crossing."""
    from scipy.sparse import coo_matrix, csr_matrix, hstack, vstack

    size, edges = len(losses), len(gains.edges)
    columns = np.arange(size)
    choice = coo_matrix((np.ones(size), (gains.owner, columns)), shape=(groups, size))
    top = hstack([vstack([csr_matrix(losses[None]), choice]), csr_matrix((groups + 1, edges))])
    if not edges:
        return csr_matrix(top)
    static = csr_matrix(choice.multiply(gains.is_static[None].astype(float)))
    difference = static[gains.edges[:, 0]] - static[gains.edges[:, 1]]
    crossing = -csr_matrix(np.eye(edges))
    return csr_matrix(
        vstack([top, hstack([difference, crossing]), hstack([-difference, crossing])])
    )
