"""Components by name: ambiguity, near matches, hints, broken plugins."""

from __future__ import annotations

import pytest

from inc_core import hookimpl
from inc_core.errors import ComponentNotFoundError, PluginError
from inc_core.plugin.discover import Candidate, Selection
from inc_core.plugin.registry import Plugins


class Ours:
    pass


class Theirs:
    pass


def offers(component, *names):
    class Offers:
        @hookimpl
        def inc_metrics(self):
            return dict.fromkeys(names, component)

    return Offers()


def broken():
    raise ImportError("libgone.so")


def candidates():
    return [
        Candidate("ours", "inc-ours", "1.0", lambda: offers(Ours, "shared", "alone")),
        Candidate("theirs", "inc-theirs", "2.0", lambda: offers(Theirs, "shared")),
    ]


def test_name_of_one_plugin_is_found():
    assert Plugins.load(candidates()).component("metric", "alone") is Ours


def test_same_name_from_two_plugins_is_no_error_until_it_is_used():
    assert Plugins.load(candidates()).names("metric") == ("alone", "shared")


@pytest.mark.parametrize("reverse", [False, True])
def test_bare_name_of_two_plugins_is_refused_whatever_the_order(reverse):
    order = candidates()[::-1] if reverse else candidates()
    with pytest.raises(ComponentNotFoundError, match="offered by 2 plugins") as caught:
        Plugins.load(order).component("metric", "shared")
    assert "'ours/shared'" in str(caught.value)
    assert "'theirs/shared'" in str(caught.value)


@pytest.mark.parametrize("plugin", ["theirs", "inc-theirs", "inc_theirs"])
def test_plugin_or_distribution_before_a_slash_decides(plugin):
    assert Plugins.load(candidates()).component("metric", f"{plugin}/shared") is Theirs


def test_two_entry_points_of_one_name_are_told_apart_by_distribution():
    plugins = Plugins.load(
        [
            Candidate("m", "inc-a", "1", lambda: offers(Ours, "x")),
            Candidate("m", "inc-b", "1", lambda: offers(Theirs, "x")),
        ]
    )
    with pytest.raises(ComponentNotFoundError, match="'inc-a/x', 'inc-b/x'"):
        plugins.component("metric", "m/x")
    assert plugins.component("metric", "inc-b/x") is Theirs


def test_unknown_name_shows_the_closest_and_all_there_are():
    with pytest.raises(ComponentNotFoundError) as caught:
        Plugins.load(candidates()).component("metric", "Alone")
    assert "Did you mean 'alone'?" in str(caught.value)
    assert "Installed metrics: alone, shared." in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        ("metric", "topk", "inc-metrics"),
        ("metric", "Accuracy", "inc-metrics"),
        ("adaptor", "onnxrt_qdq", "inc-onnx"),
        ("adaptor", "pytorch_fx", "inc-torch"),
    ],
)
def test_known_name_that_is_not_installed_says_what_to_install(kind, name, package):
    with pytest.raises(ComponentNotFoundError, match=f"pip install {package}$"):
        Plugins.of().component(kind, name)


@pytest.mark.parametrize(("name", "package"), [("tensorflow", "inc-tf"), ("mxnet", "inc-mxnet")])
def test_what_is_announced_is_not_offered_for_installation(name, package):
    with pytest.raises(ComponentNotFoundError, match=rf"{package} offers it \(not released yet\)"):
        Plugins.of().component("adaptor", name)


@pytest.mark.parametrize(
    ("kind", "name", "advice"),
    [
        ("strategy", "bayesian", "'frontier', the default"),
        ("dataset", "ImageFolder", r"set quantizer\.calib_dataloader"),
        ("transform", "Resize", "in the __getitem__"),
        ("metric", "COCOmAPv2", r"set quantizer\.metric or quantizer\.eval_func"),
    ],
)
def test_a_name_that_nobody_offers_comes_with_what_to_do_instead(kind, name, advice):
    with pytest.raises(ComponentNotFoundError, match=advice):
        Plugins.of().component(kind, name)


def test_a_misspelt_name_of_an_installed_package_is_no_reason_to_upgrade():
    plugins = Plugins.load([Candidate("m", "inc-metrics", "0.1", lambda: offers(Ours, "topk"))])
    with pytest.raises(ComponentNotFoundError, match="Did you mean 'topk'") as caught:
        plugins.component("metric", "TopK")
    assert "upgrade" not in str(caught.value)


def test_unknown_plugin_before_the_slash_is_named():
    with pytest.raises(
        ComponentNotFoundError, match=r"No plugin is named 'their'\. Did you mean 't"
    ):
        Plugins.load(candidates()).component("metric", "their/shared")


def test_plugin_without_that_component_is_named():
    with pytest.raises(
        ComponentNotFoundError, match=r"Plugin 'theirs' \(inc-theirs 2.0\) does not"
    ):
        Plugins.load(candidates()).component("metric", "theirs/alone")


def test_broken_plugin_is_an_error_when_it_is_named():
    plugins = Plugins.load([Candidate("bad", "inc-bad", "1", broken)])
    with pytest.raises(PluginError, match=r"metric 'bad/x' is needed, but plugin 'bad' .*libgone"):
        plugins.component("metric", "bad/x")


def test_broken_plugin_is_an_error_when_it_is_known_to_offer_the_name():
    plugins = Plugins.load([Candidate("metrics", "inc_metrics", "1", broken)])
    with pytest.raises(PluginError, match=r"'topk' is needed, but .*stage 'import'.*libgone"):
        plugins.component("metric", "topk")


def test_other_broken_plugins_are_mentioned():
    plugins = Plugins.load([Candidate("bad", "inc-bad", "1", broken)])
    with pytest.raises(
        ComponentNotFoundError, match=r"may belong to a plugin that did not load.*lib"
    ):
        plugins.component("metric", "x")


def test_disabled_plugin_says_so():
    plugins = Plugins.load(
        [Candidate("metrics", "inc-metrics", "1", broken)], Selection(blocked=("metrics",))
    )
    with pytest.raises(ComponentNotFoundError, match="disabled: INC_DISABLED_PLUGINS names it"):
        plugins.component("metric", "topk")
    with pytest.raises(ComponentNotFoundError, match="disabled: INC_DISABLED_PLUGINS names it"):
        plugins.component("metric", "metrics/topk")


def test_old_plugin_should_be_upgraded():
    plugins = Plugins.load([Candidate("m", "inc-metrics", "0.1", lambda: offers(Ours, "MAE"))])
    with pytest.raises(ComponentNotFoundError, match="pip install --upgrade inc-metrics"):
        plugins.component("metric", "topk")


def test_unknown_kind_is_named():
    with pytest.raises(
        PluginError, match="'metrics' is no kind of component; the kinds are adaptor"
    ):
        Plugins.of().component("metrics", "topk")


def test_builtins_are_a_plugin_like_any_other():
    plugins = Plugins.of()
    assert plugins.names("strategy") == ("basic", "exhaustive", "frontier", "mse", "random")
    assert plugins.component("strategy", "builtin/basic").__name__ == "BasicStrategy"
    assert plugins.records[0].distribution == "inc-core"
