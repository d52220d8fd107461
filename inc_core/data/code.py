"""Everything that decides what a function or object does, or why that cannot be known.

``source_of`` notices most changes of a user's code, which is enough to refuse resuming a search. To
take a result in place of running the code, nothing may be missed: what cannot be seen is named here.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import types
import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from inc_core.data.source import digest_of, read_source, text_of

__all__ = ["Code", "describe_code", "package_version"]

# Names whose use makes a result depend on files, the environment, the time or chance.
REACHING_OUT = frozenset(
    (
        *("open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "imread", "read_csv"),
        *("read_text", "read_bytes", "urlopen", "urlretrieve", "environ", "getenv", "input"),
        *("exists", "is_file", "is_dir", "iterdir", "listdir", "scandir", "glob", "rglob", "stat"),
        *("random", "rand", "randn", "randint", "default_rng", "shuffle"),
        *("time", "perf_counter", "now", "today", "eval", "exec", "__import__", "import_module"),
    )
)

CODE_SUFFIXES = (".py", ".so", ".pyd", ".dylib", ".dll", ".c", ".cc", ".cpp", ".h")

# Code that uses more is a program of its own, and looking through it would take seconds.
MAX_OBJECTS = 10_000

_INSTALLED = frozenset({"site-packages", "dist-packages"})  # folders of what was installed

_PLAIN = (type(None), bool, int, float, complex, str, bytes, PurePath)


class Code(NamedTuple):
    """What code is.

    Attributes:
        digest: Equal only for code that does the same, if nothing is opaque.
        opaque: What it depends on that cannot be seen, in words.
    """

    digest: str
    opaque: tuple[str, ...]


def describe_code(*values: Any) -> Code:
    """Describe functions, classes and objects with everything that they use.

    Followed are closures, defaults, module globals, attributes, bases and helpers in other files of
    the user. Installed packages count by version. Opaque are objects without attributes to look at
    (files, locks, compiled ones), random generators, and code that reads files, the clock or the
    environment.
    """
    walk = _Walk()
    try:
        for value in values:
            walk.add(value, "it")
    except Exception as error:  # noqa: BLE001 - foreign objects may refuse to be looked at in any way
        walk.opaque.append(f"something that cannot be looked at ({type(error).__name__})")
    return Code(digest_of("\n".join(walk.parts)), tuple(dict.fromkeys(walk.opaque)))


def package_version(module: str) -> str:
    """Return what tells one state of an imported package from another.

    The version of what is installed; a package that is worked on (an editable install, a checkout, a
    single file) changes without one, so names, sizes and times of its files count. What came from no
    file, as a notebook's cells, has another version at each call.

    Args:
        module: A name within the package.
    """
    name = module.partition(".")[0]
    place = Path(getattr(sys.modules.get(name), "__file__", None) or "")
    if not _INSTALLED.isdisjoint(place.parts):
        return _installed_version(module) or _distribution_version(name)
    if not place.name:
        return uuid.uuid4().hex
    if place.name == "__init__.py":
        found = [(entry.path, entry.stat()) for entry in _files_below(place.parent)]
    else:
        found = [(str(place), place.stat())]
    return digest_of(repr([(path, s.st_size, s.st_mtime_ns) for path, s in sorted(found)]))


def _files_below(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:  # several times as fast as pathlib
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path)
            elif entry.name.endswith(CODE_SUFFIXES):
                yield entry


def _distribution_version(package: str) -> str:
    for distribution in metadata.packages_distributions().get(package, ()):
        return metadata.version(distribution)
    return "unknown"


class _Walk:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.opaque: list[str] = []
        self._seen: dict[int, Any] = {}

    def add(self, value: Any, name: str) -> None:
        if isinstance(value, _PLAIN) or _is_array(value):
            self.parts.append(f"{name} = {text_of(value)}")
        elif id(value) in self._seen:
            self.parts.append(f"{name} again")
        elif len(self._seen) >= MAX_OBJECTS:
            self.opaque.append(f"more than {MAX_OBJECTS} objects")
        else:
            self._seen[id(value)] = value  # kept, so that its id is not given to another object
            self.parts.append(f"{name}: {type(value).__name__}")
            self._add(value, name)

    def _add(self, value: Any, name: str) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                self.add(key, f"{name} key")
                self.add(item, f"{name}[{key!r}]" if isinstance(key, str | int) else f"{name}[]")
        elif isinstance(value, set | frozenset) and all(isinstance(v, _PLAIN) for v in value):
            self.parts.append(text_of(value))
        elif isinstance(value, list | tuple):
            for item in value:
                self.add(item, f"{name}[]")
        elif isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, functools.partial):
            self.add((value.func, value.args, value.keywords), name)
        elif isinstance(value, types.MethodType):
            self.add((value.__func__, value.__self__), name)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif inspect.isroutine(value):
            self.parts.append(getattr(value, "__qualname__", name))
        else:
            self._instance(value, name)

    def _module(self, module: types.ModuleType) -> None:
        version = _installed_version(module.__name__)
        if version is not None:
            self.parts.append(f"{module.__name__} {version}")
            return
        try:
            self.parts.append(digest_of(Path(module.__file__ or "").read_bytes()))
        except OSError:
            self.opaque.append(f"the module {module.__name__}")

    def _function(self, function: types.FunctionType) -> None:
        version = _installed_version(function.__module__)
        name = f"{function.__module__}.{function.__qualname__}"
        if version is not None:
            self.parts.append(f"{name} {version}")
            return
        self.parts.append(_source(function))
        self.add((function.__defaults__, function.__kwdefaults__), f"defaults of {name}")
        for variable, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=False
        ):
            try:
                self.add(cell.cell_contents, f"{name}: {variable}")
            except ValueError:  # a name that is assigned later
                self.opaque.append(f"{variable} of {function.__qualname__}")
        for used in _names(function.__code__):
            if used in REACHING_OUT:
                self.opaque.append(f"{used!r} in {function.__qualname__}")
            elif used in function.__globals__:
                self.add(function.__globals__[used], f"{function.__module__}.{used}")

    def _class(self, cls: type) -> None:
        version = _installed_version(cls.__module__)
        if version is not None:
            self.parts.append(f"{cls.__module__}.{cls.__qualname__} {version}")
            return
        self.parts.append(_source(cls))
        for base in cls.__bases__:
            self.add(base, f"base of {cls.__qualname__}")
        for name, member in vars(cls).items():
            for part in _parts_of(member):
                if isinstance(part, types.FunctionType) or not name.startswith("__"):
                    self.add(part, f"{cls.__qualname__}.{name}")

    def _instance(self, value: Any, name: str) -> None:
        attributes = getattr(value, "__dict__", None)
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if not isinstance(attributes, dict) or kind.startswith("numpy.random"):
            self.opaque.append(f"{name.removeprefix('it.')} ({kind})")
            return
        self.add(type(value), kind)
        for attribute, held in sorted(attributes.items()):
            self.add(held, f"{name}.{attribute}")


def _is_array(value: Any) -> bool:
    return not isinstance(value, type) and hasattr(value, "dtype") and hasattr(value, "shape")


def _parts_of(member: Any) -> Iterator[Any]:
    """Yield what of a class's member is code or a value."""
    if isinstance(member, property):
        yield from (part for part in (member.fget, member.fset, member.fdel) if part is not None)
    elif isinstance(member, staticmethod | classmethod):
        yield member.__func__
    elif isinstance(member, functools.cached_property):
        yield member.func
    elif not isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
        yield member


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _source(code: Any) -> str:
    try:
        return digest_of(read_source(code))
    except (OSError, TypeError):  # typed into a prompt, or generated
        return digest_of(text_of(code)) if not isinstance(code, type) else code.__qualname__


def _installed_version(module: str) -> str | None:
    """Return the version of an installed module's package; ``None`` if its source has to be seen."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return sys.version
    package = sys.modules.get(top)
    place = getattr(package, "__file__", None) or ""
    if top == "inc_core" or not _INSTALLED.isdisjoint(Path(place).parts):
        version = getattr(package, "__version__", None)
        return version if isinstance(version, str) else None
    return None
