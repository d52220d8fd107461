from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inc_core.pruning.allocate import choose_masks
from inc_core.pruning.patterns import BlockPattern, GroupPattern

ELEMENTS = BlockPattern(1, 1)


def scores(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {f"w{index}": rng.random(shape) for index, shape in enumerate(shapes)}


def zeros(masks):
    return sum(int((~mask).sum()) for mask in masks.values())


@settings(max_examples=60)
@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.floats(0, 0.999))
def test_every_weight_has_the_nearest_possible_sparsity(shape, sparsity):
    masks = choose_masks(scores(shape), ELEMENTS, sparsity)
    assert zeros(masks) == round(sparsity * shape[0] * shape[1])


@settings(max_examples=60)
@given(st.floats(0, 0.95), st.integers(0, 5))
def test_all_weights_together_have_the_nearest_possible_sparsity(sparsity, seed):
    shapes = ((3, 5), (7, 2, 3, 3), (1, 11))
    masks = choose_masks(scores(*shapes, seed=seed), ELEMENTS, sparsity, "global", 1.0)
    assert zeros(masks) == round(sparsity * (15 + 126 + 11))


def test_the_lowest_scores_become_zero():
    found = {"a": np.array([[4.0, 1, 3, 2]])}
    assert choose_masks(found, ELEMENTS, 0.5)["a"].tolist() == [[True, False, True, False]]


def test_global_compares_scores_across_weights():
    found = {"small": np.full((2, 4), 0.1), "large": np.full((2, 4), 5.0)}
    masks = choose_masks(found, ELEMENTS, 0.5, "global")
    assert (zeros({"small": masks["small"]}), zeros({"large": masks["large"]})) == (8, 0)


def test_global_leaves_each_weight_its_share_and_takes_the_rest_elsewhere():
    found = {"small": np.full((2, 5), 0.1), "large": np.full((2, 5), 5.0)}
    masks = choose_masks(found, ELEMENTS, 0.7, "global", 0.9)
    assert (zeros({"small": masks["small"]}), zeros({"large": masks["large"]})) == (9, 5)


def test_channel_gives_each_output_channel_the_target():
    found = {"w": np.array([[1.0, 2, 3, 4], [10, 20, 30, 40]])}
    masks = choose_masks(found, ELEMENTS, 0.5, "channel")
    assert (~masks["w"]).sum(axis=1).tolist() == [2, 2]


@pytest.mark.parametrize("shape", [(8, 32), (7, 30), (5, 9, 3, 3)])
@pytest.mark.parametrize("pattern", [BlockPattern(2, 2), BlockPattern(1, 16), BlockPattern(4, 1)])
def test_blocks_become_zero_as_a_whole_to_the_nearest_block(shape, pattern):
    masks = choose_masks(scores(shape), pattern, 0.6)
    units = pattern.units(np.zeros((shape[0], int(np.prod(shape[1:])))))
    mask = np.moveaxis(masks["w0"], 1, -1).reshape(shape[0], -1)
    for block in range(len(units.sizes)):
        assert len(set(mask[units.index == block])) == 1
    half = pattern.rows * pattern.columns / 2
    assert abs(zeros(masks) - 0.6 * np.prod(shape)) <= half


@pytest.mark.parametrize("shape", [(8, 32), (3, 10), (5, 6, 3, 3)])
def test_no_group_keeps_more_than_its_pattern_allows(shape):
    mask = choose_masks(scores(shape), GroupPattern(2, 4), 0.5)["w0"]
    matrix = np.moveaxis(mask, 1, -1).reshape(shape[0], -1)
    padding = -matrix.shape[1] % 4
    groups = np.pad(matrix, ((0, 0), (0, padding))).reshape(shape[0], -1, 4)
    assert groups.sum(axis=2).max() == 2
    whole = groups if not padding else groups[:, :-1]
    assert (whole.sum(axis=2) == 2).all()


def test_a_group_pattern_is_reached_step_by_step():
    counts = [zeros(choose_masks(scores((4, 8)), GroupPattern(2, 4), s)) for s in (0.0, 0.25, 0.5)]
    assert counts == [0, 8, 16]


def test_growing_sparsity_only_adds_zeros():
    found = scores((9, 9))
    first = choose_masks(found, ELEMENTS, 0.3)["w0"]
    second = choose_masks({"w0": found["w0"] * first}, ELEMENTS, 0.6)["w0"]
    assert not (second & ~first).any()


def test_equal_scores_give_the_same_mask_every_time():
    found = {"w": np.ones((4, 4))}
    first = choose_masks(found, ELEMENTS, 0.5)["w"]
    assert np.array_equal(first, choose_masks(found, ELEMENTS, 0.5)["w"])
    assert (~first).sum() == 8
