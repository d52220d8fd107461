from __future__ import annotations

import numpy as np
import pytest

from inc_core.errors import ConfigError
from inc_core.pruning.patterns import (
    BlockPattern,
    GroupPattern,
    as_matrix,
    from_matrix,
    parse_pattern,
)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("tile_pattern_1x1", BlockPattern(1, 1)),
        ("tile_pattern_2x2", BlockPattern(2, 2)),
        ("1x16", BlockPattern(1, 16)),
        ("channelx1", BlockPattern(None, 1)),
        ("1xchannel", BlockPattern(1, None)),
        ("2:4", GroupPattern(2, 4)),
    ],
)
def test_names_of_patterns_are_read(text, pattern):
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize("text", ["", "2", "0x1", "4:2", "0:4", "tile_pattern_2", "axb"])
def test_an_unknown_pattern_is_an_error_that_shows_known_ones(text):
    with pytest.raises(ConfigError, match=r"is unknown; allowed: .*'4x1'.*'2:4'"):
        parse_pattern(text)


@pytest.mark.parametrize("shape", [(3,), (5, 7), (4, 3, 3), (4, 3, 2, 5)])
def test_a_weight_comes_back_from_its_matrix(shape):
    weight = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(from_matrix(as_matrix(weight), shape), weight)


def test_input_channels_of_a_conv_are_neighbours_in_its_matrix():
    weight = np.zeros((2, 3, 1, 2))
    weight[1, :, 0, 1] = [1, 2, 3]
    assert as_matrix(weight)[1].tolist() == [0, 0, 0, 1, 2, 3]


def test_blocks_at_the_edge_are_smaller():
    units = BlockPattern(2, 2).units(np.ones((3, 5)))
    assert sorted(units.sizes) == [1, 2, 2, 2, 4, 4]
    assert (units.scores == 1).all()


def test_a_group_offers_all_but_its_best():
    units = GroupPattern(2, 4).units(np.array([[5.0, 1, 2, 4, 9, 3]]))
    assert (units.index >= 0).tolist() == [[False, True, True, False, False, False]]
    assert units.scores.tolist() == [1, 2]


def test_equal_scores_in_a_group_keep_no_more_than_allowed():
    units = GroupPattern(2, 4).units(np.zeros((3, 8)))
    assert (units.index.reshape(3, 2, 4) < 0).sum(axis=2).max() == 2
