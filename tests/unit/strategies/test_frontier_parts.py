from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec
from inc_core.strategies.frontier.beliefs import Beliefs, Curve, Member
from inc_core.strategies.frontier.chain import chain_selections
from inc_core.strategies.frontier.climb import climb
from inc_core.strategies.frontier.finish import build_up
from inc_core.strategies.frontier.gains import Gains
from inc_core.strategies.frontier.hunt import hunt
from inc_core.strategies.frontier.knapsack import front
from inc_core.strategies.frontier.loss import Link, LossModel
from inc_core.strategies.frontier.neighbours import all_selections, neighbours
from inc_core.strategies.frontier.sharpen import priorities, sharpen
from inc_core.strategies.frontier.variables import Variables
from inc_core.tuning.criterion import Criterion

RNG = np.random.default_rng(5)


def make_gains(alone, owner=None, costs=(), is_static=None):
    alone = np.asarray(alone, float)
    size = len(alone)
    owner = np.arange(size) if owner is None else np.asarray(owner)
    edges = np.array([(i, i + 1) for i in range(len(costs))], dtype=int).reshape(-1, 2)
    static = np.ones(size, bool) if is_static is None else np.asarray(is_static)
    return Gains(alone, edges, np.asarray(costs, float), static, owner, True)


def best_by_hand(losses, gains, budget):
    everything = all_selections(gains.owner, int(gains.owner.max()) + 1)
    return gains.of(everything[everything @ losses <= budget]).max()


@pytest.mark.parametrize("seed", range(5))
def test_no_selection_saves_more_than_the_most(seed):
    rng = np.random.default_rng(seed)
    chain = make_gains(rng.uniform(-0.2, 1.0, 7), costs=rng.uniform(0.0, 0.5, 6))
    skips = replace(
        chain,
        edges=np.vstack([chain.edges, [[0, 3], [2, 6]]]),
        costs=np.append(chain.costs, [0.3, 0.3]),
    )
    nothing = np.zeros(7)
    assert chain.most == pytest.approx(best_by_hand(nothing, chain, 0.0))  # and it is reached
    assert best_by_hand(nothing, skips, 0.0) <= skips.most == pytest.approx(chain.most)


def make_beliefs(means, powers=(1.0,)):
    means = np.asarray(means, float)
    owner = np.arange(len(means))
    return Beliefs(
        [
            Member(Curve(power, 1.0), LossModel(means**power, means**power, owner), 0.0)
            for power in powers
        ]
    )


def random_choices(groups=5, each=3):
    owner = np.repeat(np.arange(groups), each)
    return np.exp(RNG.normal(size=owner.size)), make_gains(
        np.exp(RNG.normal(size=owner.size)), owner
    )


def test_link_undoes_saturation_and_is_about_one_at_the_goal():
    link = Link(Criterion(0.8))
    assert link.target == pytest.approx(1.0, rel=0.01)
    half = link(0.5 * (1 - np.exp(-0.4)) * 0 + 0.8 * (1 - np.exp(-0.3)))
    whole = link(0.8 * (1 - np.exp(-0.6)))
    assert whole == pytest.approx(2 * half)


@pytest.mark.parametrize(
    "criterion",
    [
        Criterion(20.0, 0.05, higher_is_better=False),
        Criterion(-3.0, 0.1),
        Criterion(0.0, 0.02, relative=False),
        Criterion(0.7, 0.0),
    ],
    ids=["perplexity", "negative", "baseline of 0", "no loss allowed"],
)
def test_link_takes_any_metric(criterion):
    link = Link(criterion)
    worse = criterion.threshold - (0.5 if criterion.higher_is_better else -0.5)
    assert np.isfinite([link.target, link(1e9), link(-1e9), link.worst]).all()
    assert link(criterion.loss(worse)) > link.target
    assert link(criterion.loss(criterion.threshold)) <= link.target + 1e-9


def test_front_holds_the_best_selection_for_its_own_loss():
    for _ in range(10):
        losses, gains = random_choices()
        for selection in front(losses, gains, 20, float(losses.sum())):
            found = gains.of(selection[None])[0]
            assert found == pytest.approx(best_by_hand(losses, gains, selection @ losses + 1e-9))


def test_front_chooses_once_per_group():
    losses, gains = random_choices(30, 4)
    for selection in front(losses, gains, 20, 5.0):
        assert np.bincount(gains.owner[selection]).max(initial=0) <= 1


def test_front_leaves_out_what_does_not_pay():
    gains = make_gains([1.0, -0.5, 1.0])
    assert not front(np.ones(3), gains, 5, 10.0)[:, 1].any()


def test_chain_is_exact_with_conversion_costs():
    for _ in range(5):
        losses, alone = RNG.uniform(0, 1, 8), RNG.uniform(0, 1, 8)
        gains = make_gains(alone, costs=RNG.uniform(0, 0.4, 7))
        everything = all_selections(gains.owner, 8)
        prices = np.array([0.3, 1.0, 3.0])
        found = chain_selections(losses, gains, prices)
        for price, selection in zip(prices, found, strict=True):
            values = gains.of(everything) - price * (everything @ losses)
            value = gains.of(selection[None])[0] - price * (selection @ losses)
            assert value == pytest.approx(values.max())


def test_conversions_are_counted_at_the_borders_of_static_columns():
    gains = make_gains([1.0, 1.0, 1.0], costs=[0.1, 0.2], is_static=[True, True, False])
    selections = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 1]], bool)
    assert gains.of(selections) == pytest.approx([3 - 0.2, 1 - 0.1, 1.0])


def test_observing_a_selection_moves_its_columns_and_not_the_others():
    model = LossModel(np.ones(4), np.full(4, 1.0), np.arange(4))
    model._common = np.zeros(4)
    model.observe(np.array([True, True, False, False]), 4.0, 0.1)
    assert model.means[:2].sum() == pytest.approx(4.0, rel=0.05)
    assert model.means[2:].tolist() == [1.0, 1.0]


def test_what_was_observed_is_certain_afterwards():
    model = LossModel(np.ones(6), np.full(6, 1.0), np.arange(6))
    selection = np.array([1, 1, 1, 0, 0, 0], bool)
    before = model.predict(selection[None])[1][0]
    model.observe(selection, 3.2, 0.1)
    mean, variance = model.predict(selection[None])
    assert mean[0] == pytest.approx(3.2, abs=0.1)
    assert variance[0] < 0.1 * before


def test_low_rank_posterior_is_the_full_one():
    owner = np.array([0, 0, 1, 2, 2, 3])
    deviations = RNG.uniform(0.1, 0.3, 6)
    model = LossModel(np.ones(6), deviations, owner)
    kin = 0.6 * (owner[:, None] == owner) + 0.4 * np.eye(6)
    full = kin * np.outer(deviations, deviations) + np.outer(model._common, model._common)
    for chosen in ([1, 0, 1, 0, 1, 1], [0, 1, 0, 1, 0, 1]):
        a = np.array(chosen, float)
        value = float(a @ model.means) + 0.05
        model.observe(a > 0, value, 0.3)
        gain = full @ a / (a @ full @ a + 0.3**2)
        full = full - np.outer(gain, full @ a)
    probe = np.array([1, 0, 0, 1, 0, 1], bool)
    assert model.predict(probe[None])[1][0] == pytest.approx(float(probe @ full @ probe))


def test_no_column_becomes_free_by_noise():
    model = LossModel(np.ones(3), np.ones(3), np.arange(3))
    model.observe(np.ones(3, bool), -5.0, 0.1)
    assert (model.means >= 0.15 - 1e-9).all()


def test_hunt_finds_the_hidden_culprit():
    means = np.full(64, 0.02)
    beliefs = make_beliefs(means)
    damage = np.full(64, 0.01)
    damage[37] = 5.0
    probes = []

    def divergence(selection):
        probes.append(selection)
        return 7.0 * float(damage @ selection)

    hunt(np.ones(64, bool), float(damage.sum()), beliefs, divergence, 1.0)
    assert int(np.argmax(beliefs.means)) == 37
    assert beliefs.means[37] > 1.5
    assert len(probes) <= 8 * 6 + 1


@pytest.mark.parametrize("broken", [None, float("inf"), 0.0])
def test_hunt_without_measurements_learns_nothing(broken):
    beliefs = make_beliefs(np.ones(8))
    hunt(np.ones(8, bool), 5.0, beliefs, lambda selection: broken, 1.0)
    assert beliefs.means.tolist() == [1.0] * 8


def test_curve_keeps_the_target_and_is_undone():
    curve = Curve(2.0, 1.5)
    values = np.array([-2.0, 0.0, 0.7, 1.5, 40.0])
    assert curve.up(1.5) == pytest.approx(1.5)
    assert curve.down(curve.up(values)) == pytest.approx(values)


def test_trials_show_how_losses_add_up():
    """The root of the sum of squares: half of the ops lose far more than half."""
    damage = np.full(40, 4.0 / np.sqrt(40.0))
    beliefs = make_beliefs(damage, (1.0, 2.0))
    rng = np.random.default_rng(1)
    for _ in range(4):
        selection = rng.random(40) < 0.3
        value = float(np.linalg.norm(damage[selection]))
        beliefs.judge(selection, value)
        beliefs.observe(selection, value)
    assert beliefs.leader.curve.power == 2.0
    assert beliefs.weights()[1] > 0.95


def test_probability_of_passing_falls_with_the_loss_and_rises_with_the_target():
    beliefs = make_beliefs(np.full(10, 0.2), (1.0, 2.0))
    careful, daring = np.arange(10) < 2, np.arange(10) < 8
    near, far = beliefs.pass_probability(np.stack([careful, daring]), 1.0, 1.0)
    assert 0 <= far < near <= 1
    assert beliefs.pass_probability(daring[None], 2.0, 1.0)[0] > far


def test_selections_together_are_predicted_as_each_alone():
    model = LossModel(np.ones(12), RNG.uniform(0.1, 0.3, 12), np.arange(12))
    model.observe(np.arange(12) < 7, 8.0, 0.2)
    rows = RNG.random((6, 12)) < 0.5
    rows[:, :3] = True
    means, variances = model.predict(rows)
    alone = [model.predict(row[None]) for row in rows]
    assert means == pytest.approx([float(mean[0]) for mean, _ in alone])
    assert variances == pytest.approx([float(variance[0]) for _, variance in alone])


def test_what_matters_is_large_and_near_the_edge():
    losses = np.array([0.001, 0.5, 0.5, 0.5, 50.0, 0.5])
    gains = np.array([1.0, 1.0, 1.0, 0.1, 1.0, -1.0])
    rank = priorities(losses, gains, 1.0)
    assert set(np.argsort(-rank)[:2]) == {1, 2}
    assert rank[5] == 0


def test_probes_correct_what_sensitivities_had_wrong_whatever_their_scale():
    truth = np.exp(np.random.default_rng(3).normal(size=40)) / 20
    wrong = truth.copy()
    wrong[4] /= 8.0
    beliefs = make_beliefs(wrong)
    sharpen(beliefs, np.arange(40), lambda selection: 700.0 * float(truth @ selection))
    assert beliefs.means[4] > 0.5 * truth[4]
    others = np.arange(40) != 4
    assert beliefs.means[others] == pytest.approx(truth[others], rel=0.02)


def test_sensitivities_that_probes_repeat_are_not_probed_further():
    probed = []

    def divergence(selection):
        probed.append(selection)
        return 3.0 * float(means @ selection)

    means = np.linspace(0.1, 1.0, 50)
    sharpen(make_beliefs(means), np.arange(50), divergence)
    assert len(probed) == 12


@pytest.mark.parametrize("broken", [None, float("inf"), 0.0])
def test_probes_that_fail_teach_nothing(broken):
    beliefs = make_beliefs(np.ones(30))
    sharpen(beliefs, np.arange(30), lambda selection: broken)
    assert beliefs.means.tolist() == [1.0] * 30


def test_climbing_ends_where_no_move_and_no_swap_is_better():
    weights = np.array([5.0, 4.0, 3.0, 2.0, 9.0])
    owner = np.array([0, 0, 1, 2, 3])

    def value(rows):
        return np.where(rows.sum(axis=1) <= 2, rows @ weights, 0.0)

    top = climb(np.array([0, 1, 1, 0, 0], bool), owner, np.arange(5), value)
    assert top.tolist() == [True, False, False, False, True]


def test_climbing_changes_only_what_it_may_and_keeps_one_choice_per_group():
    owner = np.repeat(np.arange(4), 3)
    start = np.zeros(12, bool)
    start[[0, 11]] = True
    seen = []

    def value(rows):
        seen.extend(rows)
        return rows @ np.arange(12.0)

    climb(start, owner, np.array([1, 2, 4]), value)
    assert all(np.bincount(owner[row]).max() <= 1 for row in seen)
    assert all(row[11] for row in seen)


class Told:
    def __init__(self, accepted):
        self.accepted = accepted


@pytest.mark.parametrize("good", [(), (3,), (0, 1, 5), tuple(range(9))])
def test_building_up_from_float_finds_what_there_is(good):
    blocks = build_up(np.arange(9), np.zeros(9, bool), set())
    passed = []
    try:
        selection = next(blocks)
        while True:
            accepted = set(np.flatnonzero(selection)) <= set(good)
            passed += [selection] if accepted else []
            selection = blocks.send(Told(accepted))
    except StopIteration as end:
        assert end.value == bool(good)
    assert (set(np.flatnonzero(passed[-1])) if passed else set()) == set(good)


def test_building_up_keeps_what_passed_before():
    start = np.array([1, 0, 0, 0, 1], bool)
    blocks = build_up(np.array([1, 2, 3]), start, set())
    first = next(blocks)
    assert first[start].all() and first.sum() > 2


def test_neighbours_keep_one_choice_per_group():
    owner = np.array([0, 0, 1, 2, 2])
    found = neighbours(np.array([1, 0, 0, 0, 1], bool), owner)
    assert all(np.bincount(owner[row]).max(initial=0) <= 1 for row in found)
    assert len(np.unique(found, axis=0)) == len(found)


def test_all_selections_are_all_and_only_where_they_are_few():
    assert len(all_selections(np.array([0, 0, 1]), 2)) == 3 * 2
    assert all_selections(np.arange(30), 30) is None


INT8 = OpConfig("static", TensorSpec("uint8", "asym"), TensorSpec("int8"))
KL = OpConfig("static", TensorSpec("uint8", "asym", algorithm="kl"), TensorSpec("int8"))
BF16 = OpConfig("bf16")


def test_a_group_is_one_variable_whose_ops_switch_together():
    a, b, c = (OpKey(name, "Conv") for name in "abc")
    space = TuningSpace(
        (
            OpCapability(a, (INT8, BF16, FP32), group="g"),
            OpCapability(b, (KL, FP32)),
            OpCapability(c, (INT8, FP32), group="g"),
        )
    )
    variables = Variables.of(space, space.default())
    assert variables.groups == ((a, c), (b,))
    for selection in itertools.chain([variables.first], np.eye(len(variables.columns), dtype=bool)):
        ops = variables.recipe(selection).ops
        assert ops[a].is_quantized == ops[c].is_quantized


def test_range_rules_are_schemes_and_no_choices():
    op = OpKey("a", "Conv")
    space = TuningSpace((OpCapability(op, (INT8, KL, BF16, FP32)),))
    default, other = (Variables.of(space, space.default(), scheme) for scheme in (0, 1))
    assert [column.configs[op] for column in default.columns] == [INT8, BF16]
    assert [column.configs[op] for column in other.columns] == [KL, BF16]
