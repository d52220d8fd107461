"""Load plugins one by one: import, check the hooks, register, collect what is offered.

A plugin that breaks anywhere is unregistered again and becomes a record; the others load.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pluggy

from inc_core.errors import IncError, PluginError, did_you_mean
from inc_core.hookspecs._markers import PROJECT_NAME
from inc_core.plugin.discover import Candidate, Selection
from inc_core.plugin.kinds import KINDS, SPECIFICATIONS
from inc_core.plugin.record import Offer, PluginRecord, Stage

__all__ = ["Loaded", "call_one", "load_candidates", "new_manager"]

_LAZY_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """What came of one candidate; ``plugin`` is ``None`` and ``offers`` empty unless it works."""

    record: PluginRecord
    plugin: Any = None
    offers: tuple[Offer, ...] = ()


def new_manager() -> pluggy.PluginManager:
    """Return a manager that knows every hook of the project and no plugin."""
    manager = pluggy.PluginManager(PROJECT_NAME)
    for specification in SPECIFICATIONS:
        manager.add_hookspecs(specification)
    return manager


def load_candidates(
    manager: pluggy.PluginManager, candidates: Iterable[Candidate], selection: Selection
) -> tuple[Loaded, ...]:
    """Load every candidate that ``selection`` lets through; never raise for a broken one."""
    return tuple(_load(manager, candidate, selection) for candidate in candidates)


def call_one(manager: pluggy.PluginManager, plugin: Any, hook: str, **arguments: Any) -> Any:
    """Call a hook of one plugin; ``None`` if it does not implement it."""
    others = [other for other in manager.get_plugins() if other is not plugin]
    results = manager.subset_hook_caller(hook, others)(**arguments)
    return results[0] if results else None


def _load(manager: pluggy.PluginManager, candidate: Candidate, selection: Selection) -> Loaded:
    record = PluginRecord(candidate.name, candidate.distribution, candidate.version)
    refusal = selection.refusal(candidate)
    if refusal:
        return Loaded(replace(record, stage="disabled", error=refusal))
    key = f"{record.distribution}:{record.name}"
    stage: Stage = "import"
    plugin: Any = None
    try:
        plugin = candidate.load()
        stage = "validate"
        _check_hooks(manager, plugin)
        _register(manager, plugin, key)
        stage = "collect"
        offers = {kind: _collect(manager, plugin, kind) for kind in KINDS}
    except (Exception, SystemExit) as error:  # foreign code: whatever it does, the others load
        _logger.debug("plugin %s broke at stage %r", record.title, stage, exc_info=True)
        if plugin is not None and manager.get_plugin(key) is plugin:
            # pluggy leaves a plugin that failed validation half registered
            manager.unregister(name=key)
        return Loaded(replace(record, stage=stage, error=_words(error)))
    record = replace(record, offers={kind: tuple(found) for kind, found in offers.items() if found})
    return Loaded(
        record,
        plugin,
        tuple(
            Offer(kind, name, target, record)
            for kind, found in offers.items()
            for name, target in found.items()
        ),
    )


def _words(error: BaseException) -> str:
    """Our own errors speak for themselves; others need their type to be understood."""
    return str(error) if isinstance(error, IncError) else f"{type(error).__name__}: {error}"


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Name every function that looks like a hook and is none, all at once."""
    if isinstance(plugin, type):
        raise PluginError(
            f"{plugin.__qualname__!r} is a class; let the entry point name a module or an instance"
        )
    if type(plugin).__hash__ is None:
        raise PluginError(
            f"a {type(plugin).__name__} is not hashable; use a module or a plain object"
        )
    known = {name for specification in SPECIFICATIONS for name in vars(specification)}
    known = {name for name in known if name.startswith("inc_")}
    problems = []
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is not None:
            hook = options.get("specname") or name
            if hook not in known and not options.get("optionalhook"):
                hint = did_you_mean(hook, known) or f" The hooks are: {', '.join(sorted(known))}."
                problems.append(f"there is no hook {hook!r}.{hint}")
        elif name in known:
            problems.append(f"{name!r} is not marked: put @inc_core.hookimpl before it")
    if problems:
        raise PluginError(" ".join(problems))


def _register(manager: pluggy.PluginManager, plugin: Any, key: str) -> None:
    if manager.is_registered(plugin):
        raise PluginError(
            f"it is registered already, as {manager.get_name(plugin)!r}; name it by one entry point"
        )
    if manager.has_plugin(key):
        raise PluginError(f"another plugin is registered as {key!r}; rename the entry point")
    try:
        manager.register(plugin, key)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from error


def _collect(manager: pluggy.PluginManager, plugin: Any, kind: str) -> Mapping[str, Any]:
    hook = KINDS[kind]
    offered = call_one(manager, plugin, hook)
    if offered is None:
        return {}
    if not isinstance(offered, Mapping):
        raise PluginError(
            f"{hook} returned {type(offered).__name__}; it must return a mapping "
            '{"name": Class or "package.module:Class"}'
        )
    for name, target in offered.items():
        _check_offer(hook, name, target)
    return dict(offered)


def _check_offer(hook: str, name: Any, target: Any) -> None:
    if not isinstance(name, str) or not name or "/" in name:
        raise PluginError(
            f"{hook} offers the name {name!r}; a name is a non-empty string without '/'"
        )
    if isinstance(target, str) and not _LAZY_NAME.fullmatch(target):
        raise PluginError(
            f"{hook} offers {name!r} as {target!r}; a lazy name reads 'package.module:Class'"
        )
    if not isinstance(target, str) and not callable(target):
        raise PluginError(
            f"{hook} offers {name!r} as {type(target).__name__}; "
            "give the class, or 'package.module:Class'"
        )
