"""``PluginSuite`` passes a good plugin and says what is wrong with a bad one."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from inc_core import hookimpl
from inc_core.errors import PluginError
from inc_core.hookspecs.adaptor import Guess
from inc_core.plugin import Plugins, builtin
from inc_core.testing.plugin_suite import PluginSuite

GOOD = """
from inc_core import hookimpl

class Mean:
    def __init__(self, axis=0):
        self.axis = axis
    def update(self, predictions, labels): ...
    def result(self):
        return 0.0

class Plain:
    def __call__(self, sample):
        return sample

@hookimpl
def inc_metrics():
    return {"mean": "inc_suite_example:Mean"}

@hookimpl
def inc_transforms():
    return {"plain": Plain}

@hookimpl
def inc_guess_framework(source):
    return None
"""


@pytest.fixture
def good(tmp_path, monkeypatch):
    (tmp_path / "inc_suite_example.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("inc_suite_example")
    del sys.modules["inc_suite_example"]


def suite_of(plugin, frameworks=()):
    suite = PluginSuite()
    suite.plugin, suite.frameworks = plugin, frameworks
    return suite


def checks():
    return [name for name in dir(PluginSuite) if name.startswith("test_")]


@pytest.mark.parametrize("check", checks())
def test_good_plugin_passes(good, check):
    getattr(suite_of(good, ("inc_no_such_framework",)), check)()


def test_framework_that_is_imported_early_is_named(good):
    with pytest.raises(AssertionError, match="imported too early: inc_suite_example"):
        suite_of(good, ("inc_suite_example",)).test_importing_it_imports_no_framework()


class Bare:
    pass


class Anything:
    def __init__(self, **options):
        self.options = options


class Everything:
    @hookimpl
    def inc_metrics(self):
        return {"bare": Bare, "anything": Anything}

    @hookimpl
    def inc_adaptors(self):
        return {"bare": Bare}

    @hookimpl
    def inc_datasets(self):
        return {"bare": Bare}

    @hookimpl
    def inc_transforms(self):
        return {"bare": Bare}

    @hookimpl
    def inc_guess_framework(self, source):
        return Guess("bare", 1.0, "always")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("test_components_keep_the_contract_of_their_kind", "metric 'bare' has no 'update'"),
        ("test_components_keep_the_contract_of_their_kind", "adaptor 'bare' is not a subclass"),
        ("test_components_keep_the_contract_of_their_kind", "dataset 'bare' has neither"),
        ("test_components_keep_the_contract_of_their_kind", "transform 'bare' has no '__call__'"),
        ("test_constructors_name_their_parameters", r"metric 'anything' takes \*\*options"),
        ("test_unknown_parameters_are_refused", "metric 'anything'"),
        ("test_models_of_others_are_left_alone", "it claims <object"),
    ],
)
def test_bad_plugin_is_told_what_is_wrong(check, message):
    with pytest.raises(AssertionError, match=message):
        getattr(suite_of(Everything()), check)()


def test_name_that_does_not_resolve_is_an_error():
    class Dangling:
        @hookimpl
        def inc_metrics(self):
            return {"x": "inc_nowhere.x:X"}

    with pytest.raises((PluginError, ImportError), match="'inc_nowhere'"):
        suite_of(Dangling()).test_every_name_resolves()


def test_unmarked_module_is_told():
    with pytest.raises(AssertionError, match="no function is marked"):
        suite_of(ModuleType("empty")).test_it_does_something()


class TestBuiltinHooks(PluginSuite):
    """The built-ins pass as any plugin would."""

    plugin = builtin
    # the integration test of third-party packages does, with the built-ins in place
    test_importing_it_imports_no_framework = None

    def _plugins(self):
        # they are in every set already, and no plugin is registered twice
        return Plugins.of()
