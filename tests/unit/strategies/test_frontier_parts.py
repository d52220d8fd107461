from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpCapability, OpConfig, OpKey, TensorSpec
from inc_core.strategies.frontier.chain import chain_selections
from inc_core.strategies.frontier.exact import polish
from inc_core.strategies.frontier.finish import build_up
from inc_core.strategies.frontier.gains import Gains
from inc_core.strategies.frontier.hunt import hunt
from inc_core.strategies.frontier.knapsack import fill, front, upper_bound
from inc_core.strategies.frontier.loss import Link, LossModel
from inc_core.strategies.frontier.neighbours import all_selections, neighbours
from inc_core.strategies.frontier.quiet import quiet_stdout
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


def test_bound_is_never_below_the_best():
    for _ in range(10):
        losses, gains = random_choices()
        budget = float(RNG.uniform(0.1, losses.sum()))
        assert upper_bound(losses, gains, budget) >= best_by_hand(losses, gains, budget) - 1e-9


def test_fill_adds_what_fits():
    gains = make_gains([3.0, 2.0, 1.0])
    filled = fill(np.array([True, False, False]), np.array([1.0, 5.0, 0.5]), gains, 2.0)
    assert filled.tolist() == [True, False, True]


def test_polish_finds_the_best_selection_within_the_same_loss():
    for _ in range(5):
        losses, gains = random_choices(6, 2)
        start = front(losses, gains, 3, 0.4 * losses.sum())[-1]
        polished = polish(start, losses, gains)
        assert polished @ losses <= start @ losses + 1e-6
        best = best_by_hand(losses, gains, start @ losses + 1e-9)
        assert gains.of(polished[None])[0] >= 0.99 * best


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
    model.observe(np.array([True, True, False, False]), 4.0)
    assert model.means[:2].sum() == pytest.approx(4.0, rel=0.05)
    assert model.means[2:].tolist() == [1.0, 1.0]


def test_what_was_observed_is_certain_afterwards():
    model = LossModel(np.ones(6), np.full(6, 1.0), np.arange(6))
    selection = np.array([1, 1, 1, 0, 0, 0], bool)
    before = model.predict(selection[None])[1][0]
    model.observe(selection, 3.2)
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
        model.observe(a > 0, value)
        gain = full @ a / (a @ full @ a + model.own_variance(value))
        full = full - np.outer(gain, full @ a)
    probe = np.array([1, 0, 0, 1, 0, 1], bool)
    assert model.predict(probe[None])[1][0] == pytest.approx(float(probe @ full @ probe))


def test_no_column_becomes_free_by_noise():
    model = LossModel(np.ones(3), np.ones(3), np.arange(3))
    model.observe(np.ones(3, bool), -5.0)
    assert (model.means >= 0.15 - 1e-9).all()


def test_hunt_finds_the_hidden_culprit():
    means = np.full(64, 0.02)
    model = LossModel(means, means, np.arange(64))
    damage = np.full(64, 0.01)
    damage[37] = 5.0
    probes = []

    def divergence(selection):
        probes.append(selection)
        return 7.0 * float(damage @ selection)

    hunt(np.ones(64, bool), float(damage.sum()), model, divergence, 1.0)
    assert int(np.argmax(model.means)) == 37
    assert model.means[37] > 1.5
    assert len(probes) <= 8 * 6 + 1


@pytest.mark.parametrize("broken", [None, float("inf"), 0.0])
def test_hunt_without_measurements_learns_nothing(broken):
    model = LossModel(np.ones(8), np.ones(8), np.arange(8))
    hunt(np.ones(8, bool), 5.0, model, lambda selection: broken, 1.0)
    assert model.means.tolist() == [1.0] * 8


class Told:
    def __init__(self, accepted):
        self.accepted = accepted


@pytest.mark.parametrize("good", [(), (3,), (0, 1, 5), tuple(range(9))])
def test_building_up_from_float_finds_what_there_is(good):
    blocks = build_up(np.arange(9), 9, set())
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


def test_nothing_reaches_standard_output_from_below(capfd):
    print("before", flush=True)
    with quiet_stdout():
        os.write(1, b"noise\n")
    print("after", flush=True)
    assert capfd.readouterr().out == "before\nafter\n"
