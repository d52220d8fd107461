"""The targets of the design on the simulator, with few seeds; ``benchmarks/strategies.py`` has more.

Margins are those of few seeds: the design's targets are means over many.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from inc_core.strategies.frontier import FrontierStrategy
from inc_core.testing.simulator import (
    CHOICES,
    FAMILIES,
    HELD_OUT,
    make_problem,
    optimum,
    run_strategy,
)

SEEDS = range(10)


TWO = ("static", "fp32")
ALL = tuple(CHOICES)


@functools.cache
def problems(family, size, seeds=SEEDS, choices=TWO):
    made = [make_problem(family, size, seed, choices=choices) for seed in seeds]
    return [(problem, optimum(problem)) for problem in made]


def runs(family, size, effort="balanced", seeds=SEEDS, choices=TWO, **options):
    return [
        run_strategy(FrontierStrategy(effort), problem, reference=reference, **options)
        for problem, reference in problems(family, size, seeds, choices)
    ]


def mean(found, name):
    return np.mean([getattr(run, name) for run in found])


def test_t1_one_evaluation_where_all_int8_passes():
    for run in runs("benign", 100):
        assert len(run.trials) == 1
        assert run.units <= 1.05
        assert run.share == pytest.approx(1.0)


@pytest.mark.parametrize("family", ["few", "collapse"])
def test_t2_culprits_that_are_seen(family):
    found = runs(family, 100)
    assert np.median([run.units for run in found]) <= 3
    assert max(len(run.trials) for run in found) <= 6
    assert mean(found, "share") >= 0.98


@pytest.mark.parametrize(
    ("family", "share"), [("diffuse", 0.93), ("interactions", 0.91), ("hard", 0.86)]
)
def test_t3_damage_everywhere(family, share):
    found = runs(family, 100)
    assert mean(found, "first_units") <= 3
    assert mean(found, "units") <= 12
    assert mean(found, "share") >= share


@pytest.mark.parametrize(
    ("family", "share"), [("diffuse", 0.93), ("interactions", 0.93), ("hard", 0.84)]
)
def test_t3_damage_everywhere_in_a_large_model(family, share):
    found = runs(family, 500, seeds=range(3))
    assert mean(found, "first_units") <= 3
    assert mean(found, "units") <= 13  # 12 as a mean of 30 seeds: these three are dear
    assert mean(found, "share") >= share


@pytest.mark.parametrize(("size", "units", "share"), [(100, 13, 0.95), (500, 15, 0.9)])
def test_t4_culprits_that_no_sensitivity_shows(size, units, share):
    found = runs("hidden", size, seeds=SEEDS if size == 100 else range(3))
    assert mean(found, "units") <= units
    assert mean(found, "share") >= share


@pytest.mark.parametrize("family", [*FAMILIES, *HELD_OUT])
def test_t5_always_something_accepted_and_nothing_wrongly(family):
    for size in (20, 60):
        for run in runs(family, size, seeds=range(2)):
            assert run.accepted
            assert run.false_accepts == 0


def test_t6_small_problems_against_the_exhaustive_optimum():
    families = [f for f in FAMILIES if f != "benign"]
    seeds = range(5)
    balanced = [run for f in families for run in runs(f, 12, seeds=seeds)]
    assert 1 - mean(balanced, "share") <= 0.05
    assert mean(balanced, "units") <= 6
    most = [run for f in families for run in runs(f, 12, "max", seeds=seeds)]
    assert 1 - mean(most, "share") <= 0.02
    assert mean(most, "units") <= 16


@pytest.mark.parametrize(("size", "share"), [(6, 0.8), (60, 0.9)])
@pytest.mark.parametrize("family", ["few", "diffuse", "hard", "boundary"])
def test_with_static_dynamic_int4_bf16_and_float_per_op_it_finds_as_much(family, size, share):
    """Five choices per op are the normal case."""
    found = runs(family, size, seeds=range(3), choices=ALL)
    assert all(run.accepted and run.false_accepts == 0 for run in found)
    assert mean(found, "units") <= 12
    assert mean(found, "share") >= share


@pytest.mark.parametrize("family", ["diffuse", "hard"])
def test_t7_four_side_by_side_take_fewer_rounds(family):
    alone, wide = runs(family, 100), runs(family, 100, width=4)
    assert mean(wide, "rounds") <= 0.7 * mean(alone, "rounds")
    assert mean(wide, "share") >= mean(alone, "share") - 0.01


def test_t10_a_proposal_takes_milliseconds():
    (run,) = runs("hard", 500, seeds=range(1))
    # measured: some 15 ms with one thread; the target is 50, the rest is for slow machines
    assert run.slowest_ask <= 0.5
