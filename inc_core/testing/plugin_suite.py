"""``PluginSuite``: what every plugin must do, as pytest tests that its author inherits."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from inc_core.config.types import ComponentConfig
from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import Adaptor
from inc_core.plugin.registry import Plugins

__all__ = ["PluginSuite"]


class PluginSuite:
    """Proves any plugin. Inherit, name the plugin, and pytest runs every test.

    Attributes:
        plugin: The module, or the object, that the entry point names.
        frameworks: Modules that must not be imported before a run uses them.

    Example::

        class TestMyPlugin(PluginSuite):
            plugin = inc_mine.plugin
            frameworks = ("mine", "numba")
    """

    plugin: Any = None
    frameworks: tuple[str, ...] = ()

    def test_its_hooks_are_valid_and_called_without_an_error(self) -> None:
        """Known hooks with known arguments; names are strings, values classes or lazy names."""
        assert self._plugins().records[-1].stage == "ok"

    def test_it_does_something(self) -> None:
        """A plugin without any hook is a module that was never marked."""
        hooks = [name for name in dir(self.plugin) if _is_hook(getattr(self.plugin, name, None))]
        assert hooks, "no function is marked with @inc_core.hookimpl"

    def test_every_name_resolves(self) -> None:
        """Lazy names too; so this test needs the plugin's framework."""
        for kind, name, component in self._components():
            assert callable(component), f"{kind} {name!r} is not a class"

    def test_components_keep_the_contract_of_their_kind(self) -> None:
        """See ``inc_core.hookspecs``, one file per kind."""
        problems = [
            f"{kind} {name!r} {problem}"
            for kind, name, component in self._components()
            for problem in _CONTRACTS[kind](component)
        ]
        assert not problems, "; ".join(problems)

    def test_constructors_name_their_parameters(self) -> None:
        """``*args`` and ``**kwargs`` would let spelling mistakes of a configuration pass."""
        problems = [
            f"the constructor of {kind} {name!r} takes {starred}"
            for kind, name, component in self._components()
            for starred in _starred_parameters(component)
        ]
        assert not problems, "; ".join(problems)

    def test_unknown_parameters_are_refused(self) -> None:
        """Of every configurable component, before it is made."""
        accepted = [
            f"{kind} {name!r}"
            for kind, name, _ in self._components()
            if kind != "adaptor" and self._accepts_nonsense(kind, name)
        ]
        assert not accepted, f"made from {_NONSENSE!r}: {', '.join(accepted)}"

    def test_models_of_others_are_left_alone(self) -> None:
        """A guess about an unknown object or an absent file is ``None``, or less than certain."""
        for source in (object(), "no-such-folder/model.of_nobody"):
            try:
                guess = self._plugins().guess_framework(source)
            except UnsupportedModelError as error:
                assert "failed:" not in str(error), str(error)
                assert "broke the contract" not in str(error), str(error)
            else:
                raise AssertionError(f"it claims {source!r}: {guess}")

    def test_importing_it_imports_no_framework(self) -> None:
        """In a fresh process, with its hooks called."""
        code = (
            f"import importlib, sys\nmodule = importlib.import_module({self._module()!r})\n"
            "from inc_core.plugin import Plugins\n"
            f"if {isinstance(self.plugin, ModuleType)}: Plugins.of(module)\n"
            f"print(*set({list(self.frameworks)!r}) & set(sys.modules))"
        )
        outcome = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        assert not outcome.stdout.split(), f"imported too early: {outcome.stdout.strip()}"

    def _plugins(self) -> Plugins:
        assert self.plugin is not None, "set `plugin` to the module that the entry point names"
        return Plugins.of(self.plugin)

    def _components(self) -> Iterator[tuple[str, str, Any]]:
        plugins = self._plugins()
        record = plugins.records[-1]
        for kind, names in record.offers.items():
            for name in names:
                yield kind, name, plugins.component(kind, f"{record.name}/{name}")

    def _accepts_nonsense(self, kind: str, name: str) -> bool:
        plugins = self._plugins()
        try:
            config = ComponentConfig(f"{plugins.records[-1].name}/{name}", _NONSENSE)
            plugins.create(kind, config)
        except ValueError as error:  # a ConfigError is one
            return "unknown parameter" not in str(error)
        return True

    def _module(self) -> str:
        plugin = self.plugin
        return str(plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__)


_NONSENSE: Mapping[str, Any] = {"surely_no_such_parameter": 1}


def _is_hook(value: Any) -> bool:
    return hasattr(value, "inc_impl")


def _starred_parameters(component: Any) -> list[str]:
    if getattr(component, "__init__", None) is object.__init__:
        return []
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(component).parameters.values()
    return [str(parameter) for parameter in parameters if parameter.kind in starred]


def _lacks(component: Any, *names: str) -> list[str]:
    return [f"has no {name!r}" for name in names if not hasattr(component, name)]


def _adaptor_problems(component: Any) -> list[str]:
    if not isinstance(component, type) or not issubclass(component, Adaptor):
        return ["is not a subclass of inc_core.hookspecs.adaptor.Adaptor"]
    missing = sorted(getattr(component, "__abstractmethods__", ()))
    return [f"does not define {name!r}" for name in missing]


def _dataset_problems(component: Any) -> list[str]:
    if hasattr(component, "__iter__"):
        return []
    if not hasattr(component, "__getitem__"):
        return ["has neither '__getitem__' nor '__iter__'"]
    if not hasattr(component, "__len__") and not hasattr(component, "len"):
        return ["has '__getitem__', but neither '__len__' nor 'len'"]
    return []


def _transform_problems(component: Any) -> list[str]:
    # every class is callable; what counts is that its instances are
    defined = isinstance(component, type) and any("__call__" in vars(c) for c in component.__mro__)
    return [] if defined else ["has no '__call__'"]


_CONTRACTS: Mapping[str, Callable[[Any], list[str]]] = {
    "adaptor": _adaptor_problems,
    "strategy": lambda component: _lacks(component, "propose"),
    "dataset": _dataset_problems,
    "transform": _transform_problems,
    "metric": lambda component: _lacks(component, "update", "result"),
    "objective": lambda component: _lacks(component, "measure"),
    "observer": lambda component: _lacks(component, "choose_range", "needs_values"),
    "pruner": lambda component: [] if hasattr(component, "mask") else _lacks(component, "scores"),
}
