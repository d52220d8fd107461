"""Every installed strategy on every simulated problem: ``python benchmarks/strategies.py``.

Units are passes over the evaluation data, the float baseline's not counted; share is the saved time
as a share of the reference optimum (exhaustive up to 12 ops, else greedy with swaps that see the true
loss). Every strategy gets early stopping, so that the table compares searches, not plumbing.

With choices ``two`` an op is static int8 or float; with ``all`` it also may be dynamic int8, weight-only
int4 or bf16, which is the normal case where an adaptor offers them. The last table is the time of one
proposal; run it with one thread (``OMP_NUM_THREADS=1``), else CPU time counts threads that wait.

The constants of ``frontier`` were tuned on seeds 100 to 119 of the first group of families. This runs
other seeds, and then apart: families that it has not seen, and constants (model, data, goal, noise)
that it has not seen.

Options: ``--sizes 12 100 500``, ``--seeds 30``, ``--strategies frontier basic``, ``--effort max``,
``--choices two all``, ``--width 4``, ``--max-trials 1500``, ``--full`` (no early stopping).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache

import numpy as np
import timing

from inc_core.hookspecs.strategy import Strategy
from inc_core.plugin import get_plugins
from inc_core.testing.simulator import (
    FAMILIES,
    HELD_OUT,
    Constants,
    Problem,
    SimulatedRun,
    make_problem,
    optimum,
    run_strategy,
)

CHOICES = {
    "two": ("static", "fp32"),
    "all": ("static", "dynamic", "int4", "bf16", "fp32"),
}
UNSEEN = Constants(
    accuracy=0.91,
    tolerance=0.005,
    samples=5_000,
    churn=0.03,
    damage_sigma=1.6,
    gain_sigma=0.7,
    correlation=0.5,
    sensitivity_noise=0.9,
    latency_noise=0.1,
)
# seconds that a proposal may take, by the number of ops
PROPOSAL_GOALS = {500: 0.05, 10_000: 1.0}
HEADER = (
    "family",
    "strategy",
    "units",
    "first",
    "trials",
    "most",
    "rounds",
    "share",
    "least",
    "at first",
    "accepted",
    "false",
    "ask ms",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 100])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--strategies", nargs="+", default=None)
    parser.add_argument("--families", nargs="+", default=None)
    parser.add_argument("--choices", nargs="+", choices=list(CHOICES), default=list(CHOICES))
    parser.add_argument("--effort", nargs="+", default=["balanced"], help="of frontier")
    parser.add_argument("--width", type=int, default=1)
    parser.add_argument("--max-trials", type=int, default=1500, help="of one search")
    parser.add_argument("--full", action="store_true", help="no early stopping")
    arguments = parser.parse_args()
    timing.print_heading("strategies", "numpy", "inc-core")
    strategies = contenders(arguments.strategies, arguments.effort)
    groups = (
        ("families it was tuned on, other seeds", FAMILIES, Constants()),
        ("families held out", HELD_OUT, Constants()),
        ("constants held out", FAMILIES, UNSEEN),
    )
    for size in arguments.sizes:
        for choices in arguments.choices:
            for words, families, constants in groups:
                wanted = [f for f in families if f in (arguments.families or families)]
                rows = [
                    row(family, name, strategy, size, choices, constants, arguments)
                    for family in wanted
                    for name, strategy in strategies
                ]
                title = f"{words}: {size} ops, choices {choices}, {arguments.seeds} seeds"
                timing.print_table(title, HEADER, rows)
    print_proposals()


def print_proposals() -> None:
    """Print what one proposal of ``frontier`` takes at most, in CPU time, simulation not counted."""
    rows = []
    for size, goal in PROPOSAL_GOALS.items():
        for family in ("hard", "boundary"):
            problem = make_problem(family, size, 0)
            run = run_strategy(
                get_plugins().component("strategy", "frontier")(), problem, reference=1.0
            )
            rows.append((family, size, f"{1000 * run.slowest_ask:.0f}", f"{1000 * goal:.0f}"))
    timing.print_table("slowest proposal", ("family", "ops", "ms", "goal"), rows)


def contenders(names: Sequence[str] | None, efforts: Sequence[str]) -> list[tuple[str, Strategy]]:
    """Return each installed strategy, ``frontier`` once for each effort."""
    plugins = get_plugins()
    found: list[tuple[str, Strategy]] = []
    for name in names or plugins.names("strategy"):
        strategy = plugins.component("strategy", name)
        if name == "frontier":
            found += [(f"frontier {effort}", strategy(effort=effort)) for effort in efforts]
        else:
            found.append((name, strategy()))
    return found


def row(
    family: str,
    name: str,
    strategy: Strategy,
    size: int,
    choices: str,
    constants: Constants,
    arguments: argparse.Namespace,
) -> tuple[str, ...]:
    runs = []
    for seed in range(arguments.seeds):
        problem, reference = known(family, size, seed, choices, constants)
        runs.append(
            run_strategy(
                strategy,
                problem,
                seed=seed,
                width=arguments.width,
                early_stop=not arguments.full,
                max_trials=arguments.max_trials,
                reference=reference,
            )
        )
    return (family, name, *summary(runs))


@cache
def known(
    family: str, size: int, seed: int, choices: str, constants: Constants
) -> tuple[Problem, float]:
    problem = make_problem(family, size, seed, choices=CHOICES[choices], constants=constants)
    return problem, optimum(problem)


def summary(runs: Sequence[SimulatedRun]) -> tuple[str, ...]:
    firsts = [run.first_units for run in runs if run.first_units is not None]
    return (
        f"{np.mean([run.units for run in runs]):.1f}",
        f"{np.mean(firsts):.1f}" if firsts else "-",
        f"{np.mean([len(run.trials) for run in runs]):.1f}",
        f"{max(len(run.trials) for run in runs)}",
        f"{np.mean([run.rounds for run in runs]):.1f}",
        f"{np.mean([run.share for run in runs]):.3f}",
        f"{min(run.share for run in runs):.2f}",
        f"{np.mean([run.first_share for run in runs]):.2f}",
        f"{sum(run.accepted for run in runs)}/{len(runs)}",
        f"{sum(run.false_accepts for run in runs)}",
        f"{1000 * max(run.slowest_ask for run in runs):.0f}",
    )


if __name__ == "__main__":
    main()
