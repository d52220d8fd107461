"""Pickles for machines that have the installed packages, but not the user's own modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import packages_distributions
from types import FunctionType, ModuleType
from typing import IO, Any

from inc_core.errors import MissingFrameworkError

__all__ = ["dump_portable"]


def dump_portable(value: Any, file: IO[bytes], refer: Any) -> set[str]:
    """Pickle so that code of modules that belong to no installed package travels too.

    Args:
        value: What is pickled.
        file: Where to.
        refer: ``refer(object)`` returns the persistent id of what the other side has, or ``None``.

    Returns:
        Names of the classes and functions that travelled as code.

    Raises:
        MissingFrameworkError: If cloudpickle is not installed.
    """
    try:
        import cloudpickle
    except ImportError as error:
        raise MissingFrameworkError(
            "sending a job to other machines needs cloudpickle: pip install 'inc-core[dask]'"
        ) from error
    sent: set[str] = set()

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, item: Any) -> Any:
            if isinstance(item, ModuleType) and not _is_installed(item.__name__, installed):
                return None  # as code
            return refer(item)

        def reducer_override(self, item: Any) -> Any:
            reduced = super().reducer_override(item)
            if reduced is not NotImplemented and isinstance(item, type | FunctionType):
                sent.add(f"{item.__module__}.{item.__qualname__.partition('.')[0]}")
            return reduced

    installed = _installed()
    with _by_value(installed, cloudpickle):
        Pickler(file, protocol=5).dump(value)
    return {name for name in sent if not name.startswith("builtins.")}


@contextmanager
def _by_value(installed: frozenset[str], cloudpickle: Any) -> Iterator[None]:
    """Have the modules of no installed package pickled as code."""
    known = set(cloudpickle.list_registry_pickle_by_value())
    own = [
        module
        for name, module in list(sys.modules.items())
        if name not in known
        and name != "__main__"  # always is
        and isinstance(module, ModuleType)
        and module.__name__ == name
        and getattr(module, "__file__", None)
        and not _is_installed(name, installed)
    ]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


@cache
def _installed() -> frozenset[str]:
    """Return the names that can be imported from installed packages; that takes a look at each."""
    return frozenset(packages_distributions())


def _is_installed(name: str, installed: frozenset[str]) -> bool:
    first = name.partition(".")[0]
    return first in installed or first in sys.stdlib_module_names or first == "inc_core"
