"""Parameters are checked against signature and schema before a component is made."""

from __future__ import annotations

from typing import ClassVar

import pytest

from inc_core import hookimpl
from inc_core.config.types import ComponentConfig
from inc_core.errors import ConfigError, DataError, MissingFrameworkError, PluginError
from inc_core.plugin.registry import Plugins


class Hooks:
    """A plugin object that implements what it is given."""

    def __init__(self, **hooks):
        vars(self).update(hooks)


class TopK:
    def __init__(self, k=1, ignore=None):
        self.k, self.ignore = k, ignore


class Squares:
    def __init__(self, size, transform=None, filter=None):
        self.size, self.transform, self.filter = size, transform, filter


class TransformFirst:
    def __init__(self, transform, size):
        self.transform, self.size = transform, size


class Plain:
    pass


class Anything:
    def __init__(self, **options):
        self.options = options


class Checked:
    schema: ClassVar = {"k": {"type": "integer", "min": 1}}

    def __init__(self, k):
        self.k = k


class BadSchema:
    schema: ClassVar = {"k": {"tpye": "integer"}}

    def __init__(self, k):
        self.k = k


class Picky:
    def __init__(self, error):
        raise error


COMPONENTS = (TopK, Squares, TransformFirst, Plain, Anything, Checked, BadSchema, Picky)
HOOK = hookimpl(specname="inc_datasets")(lambda: {c.__name__: c for c in COMPONENTS})
PLUGINS = Plugins.of(Hooks(hook=HOOK))


def create(name, parameters=None, **extra):
    return PLUGINS.create("dataset", ComponentConfig(name, parameters), **extra)


def test_mapping_gives_keywords():
    made = create("TopK", {"k": 5, "ignore": 0})
    assert (made.k, made.ignore) == (5, 0)


@pytest.mark.parametrize("value", [3, "three", [1, 2], 0, False])
def test_anything_else_is_the_first_parameter(value):
    assert create("TopK", value).k == value


def test_nothing_gives_no_arguments():
    assert create("TopK").k == 1
    assert create("TopK", {}).k == 1


def test_extras_go_only_where_the_constructor_takes_them():
    assert create("Squares", 4, transform=str, filter=None).transform is str
    assert create("TopK", 4, transform=str).k == 4
    assert create("Anything", {"a": 1}, transform=str).options == {"a": 1}


def test_single_value_is_never_an_extra():
    made = create("TransformFirst", 4, transform=str)
    assert (made.transform, made.size) == (str, 4)


def test_parameter_of_the_user_stands_where_the_extra_is_none():
    assert create("Squares", {"size": 1, "transform": str}, transform=None).transform is str


def test_parameter_given_twice_is_refused():
    with pytest.raises(ConfigError, match="'transform' is given twice"):
        create("Squares", {"size": 1, "transform": str}, transform=int)


def test_unknown_parameter_shows_the_closest_and_the_signature():
    with pytest.raises(ConfigError) as caught:
        create("Squares", {"size": 1, "transfrom": 2})
    assert "unknown parameter 'transfrom'. Did you mean 'transform'?" in str(caught.value)
    assert "its signature is (size, transform=None, filter=None)" in str(caught.value)


def test_all_wrong_parameters_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        create("Squares", {"sizes": 1, "b": 2})
    assert len(caught.value.problems) == 3
    assert "missing parameter 'size'" in str(caught.value)


def test_value_for_a_component_without_parameters_is_refused():
    with pytest.raises(ConfigError, match="dataset 'Plain' takes no parameters; received 3"):
        create("Plain", 3)


def test_schema_is_checked_before_the_call():
    with pytest.raises(ConfigError, match="k: received 0: min value is 1"):
        create("Checked", 0)
    assert create("Checked", 2).k == 2


def test_wrong_schema_is_the_plugins_fault():
    with pytest.raises(PluginError, match="dataset 'BadSchema': its `schema`"):
        create("BadSchema", 1)


def test_refusal_of_the_constructor_becomes_a_config_error():
    with pytest.raises(ConfigError, match=r"'Picky' refuses its parameters .*ValueError: too odd"):
        create("Picky", {"error": ValueError("too odd")})


def test_crash_of_the_constructor_names_the_plugin():
    with pytest.raises(PluginError, match=r"of plugin 'Hooks' crashed .*RuntimeError: oh"):
        create("Picky", {"error": RuntimeError("oh")})


def test_errors_of_inc_pass_unchanged():
    with pytest.raises(DataError, match=r"^no file$"):
        create("Picky", {"error": DataError("no file")})


def test_framework_that_the_constructor_misses_is_named():
    error = ModuleNotFoundError("No module named 'absent'", name="absent")
    with pytest.raises(MissingFrameworkError, match="needs the module 'absent'"):
        create("Picky", {"error": error})
