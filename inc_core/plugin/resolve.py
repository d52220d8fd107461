"""Import what an offer names, on first use."""

from __future__ import annotations

import importlib
from typing import Any

from inc_core.errors import IncError, MissingFrameworkError, PluginError
from inc_core.plugin.hints import package_of_module
from inc_core.plugin.record import Offer

__all__ = ["missing_framework", "resolve"]


def resolve(offer: Offer) -> Any:
    """Return the class that an offer names.

    Raises:
        MissingFrameworkError: If a module that the plugin needs is missing or does not import.
        PluginError: If the import fails otherwise, or the module has no such class.
    """
    if not isinstance(offer.target, str):
        return offer.target
    module_name, _, attribute = offer.target.partition(":")
    try:
        component: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            component = getattr(component, part)
    except IncError:
        raise
    except ImportError as error:
        missing = missing_framework(offer, error)
        raise missing or _broken(offer, error) from error
    except Exception as error:  # foreign code: whatever it raises, the message names the plugin
        raise _broken(offer, error) from error
    if not callable(component):
        raise PluginError(
            f"{offer.kind} {offer.name!r} of plugin {offer.plugin.title}: {offer.target!r} is "
            f"{type(component).__name__}, not a class; correct the name in the plugin's hook"
        )
    return component


def missing_framework(offer: Offer, error: ImportError) -> MissingFrameworkError | None:
    """Return the error for a missing foreign module; ``None`` if the plugin itself is at fault."""
    module = (error.name or "").partition(".")[0]
    home = str(offer.target if isinstance(offer.target, str) else offer.target.__module__)
    if module in ("", "inc_core", home.partition(":")[0].partition(".")[0]):
        return None
    absent = isinstance(error, ModuleNotFoundError)
    state = "is not installed" if absent else f"cannot be imported ({error})"
    package = package_of_module(module)
    remedy = f"Install it: pip install {package}" if absent else f"Repair or reinstall {package!r}"
    return MissingFrameworkError(
        f"{offer.kind} {offer.name!r} of plugin {offer.plugin.title} needs the module {module!r}, "
        f"which {state}. {remedy}",
        name=module,
    )


def _broken(offer: Offer, error: Exception) -> PluginError:
    return PluginError(
        f"{offer.kind} {offer.name!r}: {offer.target!r} of plugin {offer.plugin.title} cannot be "
        f"imported: {type(error).__name__}: {error}. Update or repair {offer.plugin.distribution!r}"
    )
