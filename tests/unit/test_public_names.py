"""What ``inc_core`` and ``inc_core.experimental`` offer to scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import inc_core


def test_each_public_name_can_be_had():
    for name in inc_core.__all__:
        assert getattr(inc_core, name) is not None


def test_dir_shows_each_public_name():
    assert set(inc_core.__all__) <= set(dir(inc_core))


def test_experimental_is_the_same_class():
    from inc_core import experimental

    assert experimental.Quantization is inc_core.Quantization
    assert experimental.common is inc_core.common


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'inc_core' has no attribute 'Quantisation'"):
        _ = inc_core.Quantisation


def test_version_is_that_of_the_distributions():
    root = Path(inc_core.__file__).parents[1]
    for path in [root / "pyproject.toml", *root.glob("plugins/*/pyproject.toml")]:
        if path.is_file():
            stated = re.search(r'^version = "(.+)"$', path.read_text(encoding="utf-8"), re.M)
            assert stated is not None
            assert stated[1] == inc_core.__version__, path


def test_the_scheduler_is_also_where_scripts_of_the_original_import_it_from():
    from inc_core.experimental.scheduler import Scheduler

    assert Scheduler is inc_core.Scheduler


@pytest.mark.parametrize("name", ["Benchmark", "MixedPrecision", "Graph_Optimization", "NAS"])
def test_what_only_the_original_has_says_what_to_do_instead(name):
    with pytest.raises(
        ImportError, match=rf"{name} of the original is not in inc: .*migrating\.md"
    ):
        exec(f"from inc_core.experimental import {name}")
