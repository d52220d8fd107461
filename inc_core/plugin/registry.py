"""``Plugins``: what the rest of the core sees of all plugins together."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, partial
from types import ModuleType
from typing import Any

import pluggy

from inc_core.config.types import ComponentConfig
from inc_core.errors import ConfigError, IncError, PluginError, did_you_mean
from inc_core.hookspecs.adaptor import Guess
from inc_core.plugin.discover import (
    Candidate,
    Selection,
    builtin_candidate,
    installed_candidates,
)
from inc_core.plugin.guess import guess_framework
from inc_core.plugin.loading import Loaded, call_one, load_candidates, new_manager
from inc_core.plugin.lookup import check_kind, find_offer
from inc_core.plugin.parameters import instantiate
from inc_core.plugin.record import Offer, PluginRecord
from inc_core.plugin.resolve import missing_framework, resolve

__all__ = ["Plugins", "get_plugins"]

_logger = logging.getLogger("inc_core.plugin")


class Plugins:
    """Every plugin of a process: components by name, framework guesses, events.

    Use ``get_plugins()`` for the installed ones and ``Plugins.of(...)`` in tests.
    """

    def __init__(self, manager: pluggy.PluginManager, loaded: Sequence[Loaded]) -> None:
        self._manager = manager
        self._loaded = tuple(loaded)
        self._offers = tuple(offer for entry in self._loaded for offer in entry.offers)
        self._resolved: dict[tuple[str, str], Any] = {}

    @classmethod
    def of(cls, *plugins: Any, **named: Any) -> Plugins:
        """Return a sealed set: the built-ins and these modules or objects, nothing installed.

        Args:
            plugins: Called by their attribute ``plugin_name``, else a module's or class's name.
            named: The same, called by the keyword.

        Raises:
            PluginError: If one of them is broken.
        """
        names = _distinct([*map(_name_of, plugins), *named])
        given = zip(names, (*plugins, *named.values()), strict=True)
        built = cls.load([Candidate(name, "", "", partial(_itself, it)) for name, it in given])
        built.raise_if_broken()
        return built

    @classmethod
    def load(cls, candidates: Iterable[Candidate], selection: Selection | None = None) -> Plugins:
        """Load the built-ins, and candidates one by one; broken ones become records."""
        manager = new_manager()
        # the built-ins come with the core: no selection of plugins switches them off
        builtins = load_candidates(manager, [builtin_candidate()], Selection())
        chosen = load_candidates(manager, candidates, selection or Selection())
        return cls(manager, (*builtins, *chosen))

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """One record per plugin, broken and disabled ones included."""
        return tuple(entry.record for entry in self._loaded)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of all components of a kind, sorted.

        Args:
            kind: ``"adaptor"``, ``"strategy"``, ``"dataset"``, ``"transform"``, ``"metric"``,
                ``"objective"`` or ``"observer"``.
        """
        check_kind(kind)
        return tuple(sorted({offer.name for offer in self._offers if offer.kind == kind}))

    def component(self, kind: str, name: str) -> Any:
        """Return the class of a component; it is imported now, if it was not yet.

        Args:
            kind: See ``names``.
            name: The bare name, or ``plugin/name`` where several plugins offer the bare name.

        Raises:
            ComponentNotFoundError: If no plugin offers it, or more than one does.
            MissingFrameworkError: If its framework is not installed.
            PluginError: If the plugin is broken.
        """
        return self._class_of(self._find(kind, name))

    def create(self, kind: str, config: ComponentConfig, **extra: Any) -> Any:
        """Return an instance made from a configuration.

        Args:
            kind: See ``names``.
            config: Name and parameters: a mapping gives keywords, ``None`` no arguments, anything
                else the first parameter. They are checked against the signature before the call.
            extra: Further keywords, passed only where the constructor has them by name.

        Raises:
            ConfigError: If the parameters do not fit, or the constructor refuses them.
            ComponentNotFoundError, MissingFrameworkError, PluginError: As ``component``.
        """
        offer = self._find(kind, config.name)
        title = f"{kind} {config.name!r}"
        try:
            return instantiate(self._class_of(offer), title, config.parameters, extra)
        except IncError:
            raise
        except ImportError as error:
            raise missing_framework(offer, error) or _crashed(offer, title, error) from error
        except (ValueError, TypeError, LookupError, OSError) as error:
            raise ConfigError(
                f"{title} refuses its parameters {config.parameters!r}: "
                f"{type(error).__name__}: {error}"
            ) from error
        except Exception as error:  # foreign code: whatever it raises, the message names the plugin
            raise _crashed(offer, title, error) from error

    def guess_framework(self, source: Any) -> Guess:
        """Return the framework of a model: everybody is asked, the highest confidence wins.

        Raises:
            UnsupportedModelError: If nobody knows it, or two are equally sure.
        """
        return guess_framework(self._manager, self._loaded, source)

    def require(self, names: Iterable[str]) -> None:
        """Check that plugins work, by name of their entry point or distribution.

        Raises:
            PluginError: Naming every one that is missing, disabled or broken.
        """
        problems = [problem for name in names for problem in self._problems_of(name)]
        if problems:
            raise PluginError("plugins.require: " + "\n  ".join(problems))

    def raise_if_broken(self) -> None:
        """Raise a ``PluginError`` that names every broken plugin, if there is one."""
        faults = [record.fault for record in self.records if record.is_broken]
        if faults:
            raise PluginError("\n".join(faults))

    def emit(self, event: str, **arguments: Any) -> None:
        """Tell every plugin of an event; an exception in one is logged and breaks nothing.

        Args:
            event: Name of the hook, such as ``"inc_trial_finished"``.
            arguments: What the hook's specification names.
        """
        for entry in self._loaded:
            if entry.plugin is None:
                continue
            try:
                call_one(self._manager, entry.plugin, event, **arguments)
            except Exception as error:  # foreign code: an observer of a run must not end it
                _logger.warning(
                    "plugin %s failed in %s, which is ignored: %s: %s",
                    entry.record.title,
                    event,
                    type(error).__name__,
                    error,
                    exc_info=_logger.isEnabledFor(logging.DEBUG),
                )

    def _find(self, kind: str, name: str) -> Offer:
        check_kind(kind)
        return find_offer(self._offers, self.records, kind, name)

    def _class_of(self, offer: Offer) -> Any:
        key = (offer.kind, f"{offer.plugin.distribution}:{offer.plugin.name}/{offer.name}")
        if key not in self._resolved:
            self._resolved[key] = resolve(offer)
        return self._resolved[key]

    def _problems_of(self, name: str) -> list[str]:
        matches = [record for record in self.records if record.answers_to(name)]
        if not matches:
            known = {known for r in self.records for known in (r.name, r.distribution) if known}
            return [f"{name!r} is not installed.{did_you_mean(name, known)}"]
        return [record.fault for record in matches if record.stage != "ok"]


@cache
def get_plugins() -> Plugins:
    """Return the installed plugins, discovered once; ``get_plugins.cache_clear()`` starts anew.

    ``INC_PLUGINS``, ``INC_DISABLED_PLUGINS`` and ``INC_STRICT_PLUGINS`` are read here.

    Raises:
        PluginError: Under ``INC_STRICT_PLUGINS=1``, if a plugin is broken or a variable names
            one that is not installed.
    """
    selection = Selection.from_environment(os.environ)
    candidates = installed_candidates()
    plugins = Plugins.load(candidates, selection)
    known = [name for entry in candidates for name in (entry.name, entry.distribution)]
    faults = [record.fault for record in plugins.records if record.is_broken]
    faults += [
        f"INC_PLUGINS or INC_DISABLED_PLUGINS names {name!r}, which is not installed."
        f"{did_you_mean(name, known)}"
        for name in selection.unmatched(candidates)
    ]
    if faults and selection.strict:
        raise PluginError("\n".join(faults))
    for fault in faults:
        _logger.warning("%s (all plugins: inc plugins)", fault)
    return plugins


def _itself(plugin: Any) -> Any:
    return plugin


def _name_of(plugin: Any) -> str:
    if isinstance(plugin, ModuleType):
        return str(getattr(plugin, "plugin_name", plugin.__name__.rpartition(".")[2]))
    return str(getattr(plugin, "plugin_name", type(plugin).__name__))


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the second and later plugins of one name."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return distinct


def _crashed(offer: Offer, title: str, error: Exception) -> PluginError:
    return PluginError(
        f"{title} of plugin {offer.plugin.title} crashed when it was made: "
        f"{type(error).__name__}: {error}"
    )
