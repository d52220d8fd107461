"""A suite that was inherited and not filled in fails; it is not passed over."""

from __future__ import annotations

import inspect

import pytest

import inc_core.testing
from inc_core.testing import PrunerSuite, StrategySuite


@pytest.mark.parametrize("name", inc_core.testing.__all__)
def test_no_suite_is_abstract(name):
    """pytest collects nothing from an abstract class, and says nothing."""
    assert not inspect.isabstract(getattr(inc_core.testing, name))


@pytest.mark.parametrize(
    ("suite", "test"),
    [
        (StrategySuite, "test_the_same_seed_gives_the_same_sequence"),
        (PrunerSuite, "test_arguments_are_not_changed"),
    ],
)
def test_what_is_left_to_give_is_named(suite, test):
    with pytest.raises(NotImplementedError, match="override `make_"):
        getattr(suite(), test)()
