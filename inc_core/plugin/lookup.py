"""Find one component by name; say what to do when there is none, or more than one."""

from __future__ import annotations

from collections.abc import Sequence

from inc_core.errors import ComponentNotFoundError, PluginError, did_you_mean
from inc_core.plugin.hints import how_to_get, instead_of, package_of_component
from inc_core.plugin.kinds import KINDS, plural
from inc_core.plugin.record import Offer, PluginRecord, same_name

__all__ = ["check_kind", "find_offer"]


def find_offer(
    offers: Sequence[Offer], records: Sequence[PluginRecord], kind: str, name: str
) -> Offer:
    """Return the one offer that ``name`` or ``plugin/name`` means.

    Raises:
        ComponentNotFoundError: If no plugin offers it, or more than one does.
        PluginError: If the plugin that should offer it is broken.
    """
    plugin, _, bare = name.rpartition("/")
    of_kind = [offer for offer in offers if offer.kind == kind]
    found = [
        offer
        for offer in of_kind
        if offer.name == bare and (not plugin or offer.plugin.answers_to(plugin))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ComponentNotFoundError(_ambiguous(kind, name, found))
    _raise_if_broken(records, kind, name)
    raise ComponentNotFoundError(_not_found(of_kind, records, kind, name))


def check_kind(kind: str) -> None:
    """Raise for a kind of component that does not exist."""
    if kind not in KINDS:
        raise PluginError(f"{kind!r} is no kind of component; the kinds are {', '.join(KINDS)}")


def _ambiguous(kind: str, name: str, found: Sequence[Offer]) -> str:
    by_name = [f"{offer.plugin.name}/{offer.name}" for offer in found]
    if len(set(by_name)) < len(found):
        by_name = [f"{offer.plugin.distribution}/{offer.name}" for offer in found]
    plugins = ", ".join(offer.plugin.title for offer in found)
    return (
        f"{kind} {name!r} is offered by {len(found)} plugins: {plugins}. "
        f"Write one of {', '.join(map(repr, by_name))}"
    )


def _raise_if_broken(records: Sequence[PluginRecord], kind: str, name: str) -> None:
    """Raise if a plugin that the user named, or that is known to offer the name, is broken."""
    plugin, _, bare = name.rpartition("/")
    package = package_of_component(kind, bare)
    for record in records:
        named = bool(plugin) and record.answers_to(plugin)
        expected = not plugin and package is not None and same_name(package, record.distribution)
        if record.is_broken and (named or expected):
            raise PluginError(
                f"{kind} {name!r} is needed, but {record.fault}. Repair or update the plugin, "
                "or name another"
            )


def _not_found(
    of_kind: Sequence[Offer], records: Sequence[PluginRecord], kind: str, name: str
) -> str:
    plugin, _, bare = name.rpartition("/")
    names = sorted({offer.name for offer in of_kind})
    guess = _close_match(bare, names)
    package = _package_part(records, package_of_component(kind, bare), guessed=bool(guess))
    parts = [
        f"{kind} {name!r}: no installed plugin offers it.{guess}",
        f"Installed {plural(kind)}: {', '.join(names) or 'none'}.",
        _plugin_part(records, plugin) or package or instead_of(kind, bare),
        *(
            f"It may belong to a plugin that did not load: {r.fault}."
            for r in records
            if r.is_broken
        ),
    ]
    return " ".join(part for part in parts if part)


def _close_match(name: str, names: Sequence[str]) -> str:
    by_lower = {known.lower(): known for known in reversed(names)}
    if name.lower() in by_lower:
        return f" Did you mean {by_lower[name.lower()]!r}?"
    return did_you_mean(name, names)


def _plugin_part(records: Sequence[PluginRecord], plugin: str) -> str:
    """Say what is wrong with the part before ``/``, if it names no working plugin."""
    if not plugin:
        return ""
    matches = [record for record in records if record.answers_to(plugin)]
    if not matches:
        known = sorted(record.name for record in records)
        return f"No plugin is named {plugin!r}.{did_you_mean(plugin, known)}"
    if matches[0].stage == "disabled":
        return f"{matches[0].fault}."
    return f"Plugin {matches[0].title} does not offer it."


def _package_part(records: Sequence[PluginRecord], package: str | None, *, guessed: bool) -> str:
    """Say which package offers a name; of one that is installed only if nothing in it is close."""
    if package is None:
        return ""
    installed = [record for record in records if same_name(package, record.distribution)]
    if not installed:
        return f"{package} offers it{how_to_get(package)}"
    if installed[0].stage == "disabled":
        return f"{package} offers it, but {installed[0].fault}."
    if guessed:
        return ""
    return f"Newer versions of {package} offer it: pip install --upgrade {package}"
