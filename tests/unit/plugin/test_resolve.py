"""Lazy names: imported on first use, once, with the plugin named in every failure."""

from __future__ import annotations

import sys

import pytest

from inc_core import hookimpl
from inc_core.errors import MissingFrameworkError, PluginError
from inc_core.plugin.discover import Candidate
from inc_core.plugin.registry import Plugins


class Hooks:
    """A plugin object that implements what it is given."""

    def __init__(self, **hooks):
        vars(self).update(hooks)


MODULES = {
    "fine": "class Fine: pass\nnumber = 3\n",
    "needs_absent": "import absent_framework.nn\n",
    "needs_known": "import cv2_absent\n",
    "half_installed": "from inc_lazy_example.own import missing_name\n",
    "own": "",
    "crashes": "raise RuntimeError('driver is too old')\n",
    "cannot_load": "raise ImportError('libgone.so: cannot open', name='some_framework._C')\n",
}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    package = tmp_path / "inc_lazy_example"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    targets = {name: f"inc_lazy_example.{name}:Fine" for name in MODULES}
    targets |= {
        "no_module": "inc_lazy_example.nope:Fine",
        "no_class": "inc_lazy_example.fine:Finer",
        "number": "inc_lazy_example.fine:number",
    }
    hook = hookimpl(specname="inc_metrics")(lambda: targets)
    yield Plugins.load([Candidate("lazy", "inc-lazy", "1.2", lambda: Hooks(hook=hook))])
    for name in [name for name in sys.modules if name.startswith("inc_lazy_example")]:
        del sys.modules[name]


def test_nothing_is_imported_before_first_use(plugins):
    assert "inc_lazy_example" not in sys.modules
    assert plugins.component("metric", "fine").__name__ == "Fine"
    assert "inc_lazy_example.fine" in sys.modules


def test_class_is_resolved_once(plugins):
    assert plugins.component("metric", "fine") is plugins.component("metric", "lazy/fine")


def test_missing_framework_says_which_and_how_to_install(plugins):
    message = (
        r"metric 'needs_absent' of plugin 'lazy' \(inc-lazy 1.2\) needs the module "
        r"'absent_framework', which is not installed. Install it: pip install absent_framework"
    )
    with pytest.raises(MissingFrameworkError, match=message) as caught:
        plugins.component("metric", "needs_absent")
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == "absent_framework"


def test_framework_that_cannot_be_imported_is_named(plugins):
    with pytest.raises(MissingFrameworkError, match=r"'some_framework', which cannot be .*libgone"):
        plugins.component("metric", "cannot_load")


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no_module", "ModuleNotFoundError: No module named 'inc_lazy_example.nope'"),
        ("no_class", "AttributeError: .*no attribute 'Finer'"),
        ("half_installed", "ImportError: cannot import name 'missing_name'"),
        ("crashes", "RuntimeError: driver is too old"),
    ],
)
def test_other_failure_names_plugin_distribution_and_cause(plugins, name, cause):
    with pytest.raises(PluginError, match=rf"'lazy' \(inc-lazy 1.2\) cannot be imported: {cause}"):
        plugins.component("metric", name)


def test_name_of_something_else_than_a_class_is_refused(plugins):
    with pytest.raises(PluginError, match=r":number' is int, not a class"):
        plugins.component("metric", "number")
