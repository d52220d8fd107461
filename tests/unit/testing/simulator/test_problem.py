from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import StrategyError
from inc_core.testing.simulator import (
    CHOICES,
    FAMILIES,
    HELD_OUT,
    Constants,
    make_problem,
    optimum,
)

ALL = ("static", "dynamic", "int4", "bf16", "fp32")
STATIC, FP32 = 0, 1


def everything(problem, choice=STATIC):
    return np.full(problem.size, choice)


@pytest.mark.parametrize("family", [*FAMILIES, *HELD_OUT])
def test_equal_arguments_make_equal_problems(family):
    one, other = (make_problem(family, 30, 4, choices=ALL) for _ in range(2))
    vectors = np.random.default_rng(0).integers(2, size=(20, 30))
    assert np.array_equal(one.losses(vectors), other.losses(vectors))
    assert np.array_equal(one.seconds, other.seconds)


def test_another_seed_makes_another_problem():
    assert make_problem("few", 30, 1).loss(np.zeros(30, int)) != make_problem("few", 30, 2).loss(
        np.zeros(30, int)
    )


@pytest.mark.parametrize("family", [*FAMILIES, *HELD_OUT])
def test_float_loses_and_saves_nothing(family):
    problem = make_problem(family, 20, 0)
    assert problem.loss(everything(problem, FP32)) == 0.0
    assert problem.gain(everything(problem, FP32)) == pytest.approx(0.0)


@pytest.mark.parametrize("family", sorted({*FAMILIES, *HELD_OUT} - {"benign"}))
def test_all_int8_fails_and_something_passes(family):
    for seed in range(3):
        problem = make_problem(family, 40, seed)
        assert not problem.fits(everything(problem))
        assert optimum(problem) > 0


def test_all_int8_passes_where_it_is_benign():
    assert all(make_problem("benign", 100, s).fits(np.zeros(100, int)) for s in range(10))


def test_collapse_destroys_the_model():
    assert make_problem("collapse", 100, 0).loss(np.zeros(100, int)) > 30


def test_block_is_harmless_below_three_of_its_ops():
    problem = make_problem("blocks", 30, 0)
    guilty = int(np.argmax(problem.damage.block_damage))
    ops = np.flatnonzero(problem.damage.blocks == guilty)
    losses = []
    for count in range(5):
        vector = everything(problem, FP32)
        vector[ops[:count]] = STATIC
        losses.append(problem.mean_losses(vector[None])[0])
    assert losses[2] < 0.1
    assert losses[3] > losses[2] + 0.1


def test_some_ops_are_better_in_int8_where_it_is_not_monotone():
    problem = make_problem("non_monotone", 50, 0)
    singles = np.full((50, 50), FP32) - np.eye(50, dtype=int)
    assert (problem.mean_losses(singles) < 0).any()


def test_conversions_cost_only_at_borders_of_static_ops():
    problem = make_problem("boundary", 10, 0)
    assert problem.boundary.sum() > 0
    inner = problem.seconds[:, STATIC].sum()
    assert problem.times(everything(problem)[None])[0] == pytest.approx(inner)
    alone = everything(problem, FP32)
    alone[4] = STATIC
    extra = problem.times(alone[None])[0] - problem.seconds[np.arange(10), alone].sum()
    assert extra == pytest.approx(problem.boundary[3] + problem.boundary[4])


def test_each_recipe_deviates_on_the_finite_evaluation_set_in_its_own_way():
    problem = make_problem("diffuse", 40, 0)
    vectors = np.random.default_rng(1).integers(2, size=(400, 40))
    deviations = problem.losses(vectors) - problem.mean_losses(vectors)
    expected = 100 / 0.76 * np.sqrt((0.01 + problem.mean_losses(vectors).mean() / 100) / 10_000)
    assert deviations.std() == pytest.approx(expected, rel=0.15)
    assert abs(deviations.mean()) < 0.03


def test_more_samples_deviate_less():
    small, large = (
        make_problem("diffuse", 40, 0, constants=Constants(samples=n)) for n in (500, 50_000)
    )
    vectors = np.random.default_rng(1).integers(2, size=(100, 40))
    spread = [np.std(p.losses(vectors) - p.mean_losses(vectors)) for p in (small, large)]
    assert spread[0] > 5 * spread[1]


def test_recipe_and_choice_vector_are_inverse():
    problem = make_problem("few", 25, 3, choices=ALL)
    rng = np.random.default_rng(0)
    vector = np.array([rng.choice(np.flatnonzero(np.isfinite(row))) for row in problem.seconds])
    assert np.array_equal(problem.vector(problem.recipe(vector)), vector)


def test_space_offers_what_the_problem_knows():
    problem = make_problem("few", 25, 3, choices=ALL)
    for capability, row in zip(problem.space.capabilities, problem.seconds, strict=True):
        offered = {CHOICES[n].config for n, s in zip(ALL, row, strict=True) if np.isfinite(s)}
        assert set(capability.configs) == offered
    assert any(len(c.configs) < len(ALL) for c in problem.space.capabilities)


def test_unknown_family_names_those_there_are():
    with pytest.raises(StrategyError, match="no such family: 'odd'; there are benign, few"):
        make_problem("odd")


def test_ten_thousand_ops_are_quick():
    problem = make_problem("hard", 10_000, 0)
    assert problem.loss(np.zeros(10_000, int)) > 5


def test_optimum_of_a_small_problem_is_the_best_of_all():
    problem = make_problem("interactions", 8, 1)
    vectors = np.array(np.meshgrid(*[[0, 1]] * 8)).reshape(8, -1).T
    gains = problem.float_seconds - problem.times(vectors)
    assert optimum(problem) == pytest.approx(gains[problem.losses(vectors) <= 1.0].max())


def test_greedy_reference_comes_close_to_the_exhaustive_one():
    from inc_core.testing.simulator.reference import _exhaustive, _greedy

    shares = []
    for seed in range(3):
        problem = make_problem("diffuse", 12, seed, choices=("static", "bf16", "fp32"))
        shares.append(_greedy(problem, 0.0, np.random.default_rng(0)) / _exhaustive(problem))
    assert max(shares) <= 1 + 1e-9
    assert np.mean(shares) > 0.85
