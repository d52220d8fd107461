"""``Plugins`` as a whole: sealed sets, requirements, events, the cached installed ones."""

from __future__ import annotations

import logging
from types import ModuleType

import pytest

from inc_core import hookimpl
from inc_core.errors import PluginError
from inc_core.plugin import registry
from inc_core.plugin.discover import Candidate, Selection
from inc_core.plugin.registry import Plugins, get_plugins


class Listener:
    def __init__(self, error=None):
        self.told, self.error = [], error

    @hookimpl
    def inc_model_saved(self, directory):
        self.told.append(directory)
        if self.error:
            raise self.error


class Unknown:
    @hookimpl
    def inc_nonsense(self):
        return {}


def broken():
    raise ImportError("libgone.so")


@pytest.fixture
def installed(monkeypatch):
    """Let a test say what is installed, and start without the environment's switches."""
    for name in ("INC_PLUGINS", "INC_DISABLED_PLUGINS", "INC_STRICT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)

    def install(*candidates):
        monkeypatch.setattr(registry, "installed_candidates", lambda: candidates)

    get_plugins.cache_clear()
    yield install
    get_plugins.cache_clear()


def test_sealed_set_holds_the_builtins_and_what_was_given():
    module = ModuleType("some.where.mine")
    names = [record.name for record in Plugins.of(module, Listener(), other=Listener()).records]
    assert names == ["builtin", "mine", "Listener", "other"]


def test_plugin_name_attribute_names_it():
    listener = Listener()
    listener.plugin_name = "toy"
    assert Plugins.of(listener).records[1].name == "toy"


def test_two_objects_of_one_class_can_be_given():
    names = [record.name for record in Plugins.of(Listener(), Listener()).records]
    assert names == ["builtin", "Listener", "Listener_2"]


def test_sealed_set_refuses_a_broken_plugin():
    with pytest.raises(PluginError, match="there is no hook 'inc_nonsense'"):
        Plugins.of(Unknown())


def test_failing_listener_is_a_warning_and_the_others_are_told(caplog):
    first, second = Listener(RuntimeError("disk full")), Listener()
    with caplog.at_level(logging.WARNING, logger="inc_core.plugin"):
        Plugins.of(first=first, second=second).emit("inc_model_saved", directory="out")
    assert first.told == second.told == ["out"]
    (message,) = caplog.messages
    assert "plugin 'first' failed in inc_model_saved" in message
    assert "RuntimeError: disk full" in message


def test_required_plugins_that_work_pass():
    Plugins.load([Candidate("a", "inc-a", "1", Listener)]).require(["a", "inc_a", "inc-core"])


def test_every_unmet_requirement_is_told_at_once():
    plugins = Plugins.load(
        [Candidate("bad", "inc-bad", "1", broken), Candidate("off", "inc-off", "1", Listener)],
        Selection(blocked=("off",)),
    )
    with pytest.raises(PluginError) as caught:
        plugins.require(["bda", "inc-bad", "off"])
    assert "'bda' is not installed. Did you mean 'bad'?" in str(caught.value)
    assert "stage 'import'): ImportError: libgone.so" in str(caught.value)
    assert "'off' (inc-off 1) is disabled" in str(caught.value)


def test_broken_installed_plugin_warns_once(installed, caplog):
    installed(Candidate("bad", "inc-bad", "1", broken))
    with caplog.at_level(logging.WARNING, logger="inc_core.plugin"):
        assert get_plugins() is get_plugins()
    (message,) = caplog.messages
    assert "'bad' (inc-bad 1) is broken (stage 'import'): ImportError: libgone.so" in message


def test_broken_installed_plugin_is_an_error_if_strict(installed, monkeypatch):
    installed(Candidate("bad", "inc-bad", "1", broken))
    monkeypatch.setenv("INC_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"'bad' .*libgone"):
        get_plugins()


def test_disabled_plugin_is_no_error_if_strict(installed, monkeypatch):
    installed(Candidate("bad", "inc-bad", "1", broken))
    monkeypatch.setenv("INC_STRICT_PLUGINS", "1")
    monkeypatch.setenv("INC_DISABLED_PLUGINS", "bad")
    assert get_plugins().records[1].stage == "disabled"


def test_misspelled_name_in_the_environment_warns(installed, monkeypatch, caplog):
    installed(Candidate("good", "inc-good", "1", Listener))
    monkeypatch.setenv("INC_PLUGINS", "goood")
    get_plugins()
    assert "names 'goood', which is not installed. Did you mean 'good'?" in caplog.text


def test_cache_clear_reads_the_environment_again(installed, monkeypatch):
    installed(Candidate("good", "inc-good", "1", Listener))
    assert get_plugins().records[1].stage == "ok"
    monkeypatch.setenv("INC_PLUGINS", "")
    get_plugins.cache_clear()
    assert get_plugins().records[1].stage == "disabled"
