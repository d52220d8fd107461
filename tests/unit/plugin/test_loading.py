"""A plugin breaks at a named stage, and never takes the others with it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from inc_core import hookimpl
from inc_core.plugin.discover import Candidate, Selection
from inc_core.plugin.registry import Plugins


class Good:
    @hookimpl
    def inc_metrics(self):
        return {"good": "nowhere:Good"}


class UnknownHook:
    @hookimpl
    def inc_metric(self):
        return {}


class Unmarked:
    def inc_metrics(self):
        return {}


class WrongArgument:
    @hookimpl
    def inc_guess_framework(self, model):
        return None


class Raises:
    @hookimpl
    def inc_metrics(self):
        raise RuntimeError("no table")


def offering(value):
    class Offers:
        @hookimpl
        def inc_metrics(self):
            return value

    return Offers()


def failing_load():
    raise ImportError("no module named 'gone'")


def exiting_load():
    raise SystemExit(1)


def load_with_good(load):
    """Load a bad plugin before and a good one after it; return the bad one's record."""
    plugins = Plugins.load(
        [Candidate("bad", "inc-bad", "1.0", load), Candidate("good", "inc-good", "2.0", Good)]
    )
    record = next(record for record in plugins.records if record.name == "bad")
    assert plugins.names("metric") == ("good",)
    assert record.offers == {}
    return record


@pytest.mark.parametrize(
    ("load", "stage", "message"),
    [
        pytest.param(failing_load, "import", "ImportError: no module named 'gone'", id="import"),
        pytest.param(exiting_load, "import", "SystemExit", id="exit"),
        pytest.param(UnknownHook, "validate", "Did you mean 'inc_metrics'?", id="unknown hook"),
        pytest.param(Unmarked, "validate", "put @inc_core.hookimpl before it", id="unmarked"),
        pytest.param(WrongArgument, "validate", "model", id="unknown argument"),
        pytest.param(lambda: Good, "validate", "is a class", id="class"),
        pytest.param(Raises, "collect", "RuntimeError: no table", id="hook raises"),
        pytest.param(lambda: offering(["x"]), "collect", "returned list", id="no mapping"),
        pytest.param(lambda: offering({1: int}), "collect", "the name 1;", id="no string"),
        pytest.param(lambda: offering({"a/b": int}), "collect", "without '/'", id="slash"),
        pytest.param(
            lambda: offering({"a": "b.c"}), "collect", "'package.module:Class'", id="lazy"
        ),
        pytest.param(
            lambda: offering({"a": 3}), "collect", "as int; give the class", id="no class"
        ),
    ],
)
def test_broken_plugin_becomes_a_record_and_the_others_load(load, stage, message):
    record = load_with_good(load)
    assert record.is_broken
    assert record.stage == stage
    assert message in record.error


def test_plugin_that_failed_validation_is_not_called_afterwards():
    told = []

    class Half(UnknownHook):
        @hookimpl
        def inc_model_saved(self, directory):
            told.append(directory)

    plugins = Plugins.load([Candidate("half", "", "", Half)])
    plugins.emit("inc_model_saved", directory="x")
    assert told == []


def test_same_object_under_two_entry_points_keeps_the_first():
    plugin = Good()
    plugins = Plugins.load(
        [
            Candidate("one", "inc-a", "1", lambda: plugin),
            Candidate("two", "inc-a", "1", lambda: plugin),
        ]
    )
    first, second = plugins.records[1:]
    assert first.stage == "ok"
    assert second.stage == "validate"
    assert "registered already, as 'inc-a:one'" in second.error
    assert plugins.names("metric") == ("good",)


def test_two_plugins_of_one_name_in_a_distribution_keep_the_first():
    plugins = Plugins.load(
        [Candidate("one", "inc-a", "1", Good), Candidate("one", "inc-a", "1", Good)]
    )
    assert [record.stage for record in plugins.records[1:]] == ["ok", "validate"]
    assert plugins.names("metric") == ("good",)


def test_record_says_where_it_comes_from_and_what_it_offers():
    (record,) = Plugins.load([Candidate("good", "inc-good", "2.0", Good)]).records[1:]
    assert (record.name, record.distribution, record.version) == ("good", "inc-good", "2.0")
    assert record.stage == "ok"
    assert record.offers == {"metric": ("good",)}


@pytest.mark.parametrize(
    ("environment", "loaded"),
    [
        pytest.param({}, ["a", "b"], id="all"),
        pytest.param({"INC_PLUGINS": ""}, [], id="empty loads none"),
        pytest.param({"INC_PLUGINS": "a"}, ["a"], id="by entry point"),
        pytest.param({"INC_PLUGINS": "INC_b, other"}, ["b"], id="by distribution, spelled freely"),
        pytest.param({"INC_DISABLED_PLUGINS": "inc-a"}, ["b"], id="blocked by distribution"),
        pytest.param({"INC_PLUGINS": "a,b", "INC_DISABLED_PLUGINS": "b"}, ["a"], id="block wins"),
    ],
)
def test_environment_selects_what_loads(environment, loaded):
    imported = []
    candidates = [
        Candidate(name, f"inc-{name}", "1", lambda name=name: imported.append(name) or Good())
        for name in ("a", "b")
    ]
    plugins = Plugins.load(candidates, Selection.from_environment(environment))
    assert imported == loaded
    stages = {record.name: record.stage for record in plugins.records}
    assert stages["builtin"] == "ok"
    assert [name for name in ("a", "b") if stages[name] == "ok"] == loaded
    assert all(stages[name] == "disabled" for name in {"a", "b"} - set(loaded))


def test_disabled_plugin_says_which_variable_did_it():
    plugins = Plugins.load([Candidate("good", "inc-good", "1", Good)], Selection(blocked=("good",)))
    assert plugins.records[1].error == "INC_DISABLED_PLUGINS names it"


def test_hook_may_have_another_name_than_its_function():
    class Renamed:
        @hookimpl(specname="inc_metrics")
        def our_metrics(self):
            return {"made": "nowhere:Made"}

    assert Plugins.of(Renamed()).names("metric") == ("made",)


def test_plugin_that_cannot_be_hashed_is_refused():
    (record,) = Plugins.load([Candidate("ns", "", "", SimpleNamespace)]).records[1:]
    assert (record.stage, "use a module or a plain object" in record.error) == ("validate", True)
