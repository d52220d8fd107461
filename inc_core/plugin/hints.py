"""Install hints: which distribution offers what is not there. The table is data: ``hints.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path
from typing import Any

__all__ = [
    "how_to_get",
    "instead_of",
    "package_of_component",
    "package_of_model",
    "package_of_module",
]


def package_of_component(kind: str, name: str) -> str | None:
    """Return the distribution that is known to offer a component, such as ``"inc-metrics"``."""
    return _match(_table()["components"].get(kind, {}), name)


def package_of_model(source: Any) -> str | None:
    """Return the distribution that is known to load a model, by its suffix or class."""
    if isinstance(source, (str, os.PathLike)):
        return _match(_table()["models"], Path(source).suffix)
    return _match(_table()["models"], type(source).__module__.partition(".")[0])


def how_to_get(package: str) -> str:
    """Return what follows the name of a package of ours: how to install it, or that it is to come."""
    announced = package in _table()["announced"]
    return " (not released yet)" if announced else f": pip install {package}"


def instead_of(kind: str, name: str) -> str:
    """Return what to do where no plugin offers a component; empty if nothing is known."""
    return _match(_table()["instead"].get(kind, {}), name) or ""


def package_of_module(module: str) -> str:
    """Return what to install for a module; the module's own name unless the table knows better."""
    return str(_table()["modules"].get(module, module))


def _match(patterns: Mapping[str, str], name: str) -> str | None:
    lowered = name.lower()
    found = (package for pattern, package in patterns.items() if fnmatchcase(lowered, pattern))
    return next(found, None)


def _table() -> Mapping[str, Any]:
    # not cached: it is read only on the way to an error message
    text = resources.files(__package__).joinpath("hints.json").read_text(encoding="utf-8")
    table: Mapping[str, Any] = json.loads(text)
    return table
