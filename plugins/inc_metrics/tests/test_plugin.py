"""The plugin keeps the contract of plugins, and its names are those that users know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inc_core.config.types import ComponentConfig
from inc_core.errors import ConfigError
from inc_core.plugin import Plugins
from inc_core.testing.plugin_suite import PluginSuite
from inc_metrics import plugin

NAMES = ("topk", "Accuracy", "F1", "MAE", "MSE", "RMSE", "Loss")


class TestPlugin(PluginSuite):
    plugin = plugin
    frameworks = ("inc_metrics.topk", "inc_metrics.shapes", "sklearn")


@pytest.mark.parametrize("name", NAMES)
def test_each_name_makes_a_metric(name):
    metric = Plugins.of(plugin).create("metric", ComponentConfig(name, None))
    assert isinstance(metric.higher_is_better, bool)


def test_scalar_parameter_of_topk_is_k():
    assert Plugins.of(plugin).create("metric", ComponentConfig("topk", 5)).k == 5


def test_old_parameter_compare_label_is_accepted():
    config = ComponentConfig("MSE", {"compare_label": True})
    Plugins.of(plugin).create("metric", config)


def test_comparison_with_the_float_model_is_refused():
    config = ComponentConfig("MSE", {"compare_label": False})
    with pytest.raises(ConfigError, match=r"MSE: compare_label=False.*not supported"):
        Plugins.of(plugin).create("metric", config)


def test_entry_point_is_stated():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^metrics = "inc_metrics.plugin"$', text, re.M)
