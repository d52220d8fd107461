from __future__ import annotations

import pytest

from inc_core.errors import ConfigError
from inc_core.pruning.select import select_names

KNOWN = ("conv1.weight", "layer1.conv1.weight", "layer1.conv2.weight", "fc.weight")


@pytest.mark.parametrize(
    ("names", "excluded", "chosen"),
    [
        ((), (), KNOWN),
        (("fc.weight",), (), ("fc.weight",)),
        (("fc",), (), ("fc.weight",)),
        (("layer1.*",), (), KNOWN[1:3]),
        ((r"layer\d\.conv2\.weight",), (), ("layer1.conv2.weight",)),
        (("*.weight",), ("fc",), KNOWN[:3]),
        ((), ("*conv1*",), ("layer1.conv2.weight", "fc.weight")),
    ],
    ids=["all", "name", "module", "star", "regex", "star_but_one", "excluded"],
)
def test_weights_are_chosen(names, excluded, chosen):
    assert select_names(KNOWN, names, excluded) == chosen


def test_an_entry_that_matches_nothing_names_the_closest():
    with pytest.raises(
        ConfigError, match=r"'fc.wieght' matches no weight. Did you mean 'fc.weight'"
    ):
        select_names(KNOWN, ("fc.wieght",), ())


def test_nothing_left_is_an_error():
    with pytest.raises(ConfigError, match="no weight is left to prune"):
        select_names(KNOWN, ("fc",), ("fc",))


def test_a_model_without_weights_is_an_error():
    with pytest.raises(ConfigError, match="has no weight that can be pruned"):
        select_names((), (), ())
