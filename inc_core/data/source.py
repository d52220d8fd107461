"""What code and plain values are, as text that is the same in each process and changes when they do."""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from inc_core.data.arrays import as_array, raw_bytes

__all__ = ["digest_of", "read_source", "source_of", "text_of"]

DIGITS = 16

# Attributes of attributes of attributes: deeper ones are a framework's internals, not a user's choice.
MAX_DEPTH = 6
# Objects per text; beyond, only types are named. A class that holds a whole graph stays cheap.
MAX_OBJECTS = 10_000
# Longer texts, and collections of more parts, are digested.
MAX_SHOWN = 100
# Bigger arrays, mostly files mapped into memory, are not read whole: so many bytes of them, in evenly spaced
# blocks, tell data apart but for a change in one place alone.
MAX_BYTES = 64 << 20
SAMPLED_BYTES = 16 << 20
BLOCKS = 256

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (list, tuple, set, frozenset, range)


def source_of(obj: Any) -> str:
    """Return text that changes if a function, class or object would behave differently.

    Functions: source, defaults, closed-over values, and the source of functions and classes of the
    same module that they name. Classes: source of the class and of bases in the same package.
    Instances: their class, and their attributes. Partials and bound methods: their parts. Arrays
    count by digest. No address in memory, no order of hashing, no random state is in it.
    """
    return _Describer().text(obj)


def text_of(value: Any) -> str:
    """Return the same for values: plain ones as ``repr``, arrays and long ones by digest."""
    return _Describer().text(value)


def digest_of(text: str | bytes) -> str:
    """Return 16 hex digits of a text."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()[:DIGITS]


class _Describer:
    """One description: remembers what it has seen, so that cycles end."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def text(self, value: Any, depth: int = 0) -> str:
        if isinstance(value, _PLAIN) or _all_plain(value):
            return _plain(value)
        if isinstance(value, Enum | PurePath):
            return f"{type(value).__name__}({str(value)!r})"
        array = _array_text(value)
        if array is not None:
            return array
        if id(value) in self._seen or depth > MAX_DEPTH or len(self._seen) > MAX_OBJECTS:
            return _type_name(value)
        self._seen[id(value)] = value  # kept, so that its id is not given to another object
        return self._composed(value, depth)

    def _composed(self, value: Any, depth: int) -> str:
        if isinstance(value, Mapping):
            pairs = (
                f"{self.text(k, depth + 1)}: {self.text(v, depth + 1)}" for k, v in value.items()
            )
            return f"{type(value).__name__}{_bounded(pairs)}"
        if isinstance(value, _CONTAINERS):
            items = (self.text(item, depth + 1) for item in value)
            is_set = isinstance(value, set | frozenset)
            return f"{type(value).__name__}{_bounded(sorted(items) if is_set else items)}"
        if isinstance(value, types.ModuleType):
            return f"module {value.__name__}"
        return self._code(value, depth)

    def _code(self, value: Any, depth: int) -> str:
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return "partial" + _bounded(self.text(part, depth + 1) for part in parts)
        if isinstance(value, types.MethodType):
            return f"{self.text(value.__func__, depth)} of {self.text(value.__self__, depth + 1)}"
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        if isinstance(value, type):
            return self._class(value)
        if inspect.isroutine(value):
            return f"built in {getattr(value, '__qualname__', type(value).__name__)}"
        return self._instance(value, depth)

    def _function(self, function: types.FunctionType, depth: int) -> str:
        captured = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        captured += [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
        named = [
            function.__globals__[name]
            for name in function.__code__.co_names
            if _is_code_of(function.__globals__.get(name), function.__module__)
        ]
        # what a function closes over is often a model or a dataset, which are known by other digests
        values = (_type_name(v) if _is_opaque(v) else self.text(v, depth + 1) for v in captured)
        helpers = (self.text(helper, depth + 1) for helper in named)
        return f"{_source(function)} {_bounded(values)} {_bounded(helpers)}"

    def _class(self, cls: type) -> str:
        package = cls.__module__.partition(".")[0]
        related = [c for c in cls.__mro__ if c.__module__.partition(".")[0] == package]
        return "\n".join(_source(c) for c in related if c is not object)

    def _instance(self, value: Any, depth: int) -> str:
        attributes = getattr(value, "__dict__", None)
        if not isinstance(attributes, dict):
            attributes = {
                name: getattr(value, name)
                for cls in type(value).__mro__
                for name in _slots(cls)
                if hasattr(value, name)
            }
        if isinstance(value, np.random.Generator | np.random.RandomState):
            attributes = {}
        pairs = (f"{name}={self.text(v, depth + 1)}" for name, v in sorted(attributes.items()))
        return f"{self.text(type(value), depth)} {_bounded(pairs)}"


def _all_plain(value: Any) -> bool:
    """Whether ``repr`` tells everything; quick, because datasets hold millions of paths."""
    if type(value) in (list, tuple):
        return all(map(_all_plain, value))
    return type(value) in _PLAIN


def _plain(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{type(value).__name__}: {digest_of(text)}"


def _bounded(parts: Iterable[str]) -> str:
    """Return parts in brackets; many of them by digest, without holding them all."""
    shown: list[str] = []
    digest = hashlib.sha256()
    count = 0
    for part in parts:
        count += 1
        digest.update(part.encode() + b"\0")
        if count <= MAX_SHOWN:
            shown.append(part)
    if count > MAX_SHOWN:
        return f"[{count} parts: {digest.hexdigest()[:DIGITS]}]"
    return f"[{', '.join(shown)}]"


def _array_text(value: Any) -> str | None:
    """Return dtype, shape and digest of an array or tensor; ``None`` for anything else."""
    if isinstance(value, type) or not (hasattr(value, "dtype") and hasattr(value, "shape")):
        return None
    try:
        array = as_array(value)
        if not isinstance(array, np.ndarray):
            return None
        if array.dtype.hasobject:
            return f"array of objects {array.shape} {text_of(array.tolist())}"
        return f"{array.dtype}{array.shape} {_array_digest(array)}"
    except Exception:  # noqa: BLE001 - a foreign object that looks like an array may refuse in any way
        return _type_name(value)


def _array_digest(array: np.ndarray[Any, Any]) -> str:
    if array.nbytes <= MAX_BYTES or array.ndim == 0 or len(array) < BLOCKS:
        return hashlib.sha256(raw_bytes(array)).hexdigest()[:DIGITS]
    digest = hashlib.sha256()
    step = len(array) // BLOCKS
    rows = max(1, len(array) * SAMPLED_BYTES // array.nbytes // BLOCKS)
    for start in [*range(0, len(array) - rows, step), len(array) - rows]:
        digest.update(raw_bytes(array[start : start + rows]))
    return digest.hexdigest()[:DIGITS]


def read_source(code: Any) -> str:
    """Return the text of a function or class; of a class as it was when it was first asked for.

    Raises:
        OSError, TypeError: If it has none: it was typed into a prompt, generated, or compiled.
    """
    if not isinstance(code, type):
        return inspect.getsource(code)
    if code not in _CLASSES:
        _CLASSES[code] = inspect.getsource(code)
    return _CLASSES[code]


# Finding a class in its file takes a parse of the whole file.
_CLASSES: WeakKeyDictionary[type, str] = WeakKeyDictionary()


def _source(code: Any) -> str:
    name = f"{code.__module__}.{code.__qualname__}"
    try:
        text = read_source(code)
        # several lambdas may stand in one line, which is the source of each
        text += repr(list(_bytecode(code))) if code.__name__ == "<lambda>" else ""
        return f"{name} {digest_of(text)}"
    except (OSError, TypeError):  # typed into a prompt, generated, or compiled
        return f"{name} {digest_of(repr(list(_bytecode(code))))}"


def _bytecode(code: Any) -> Iterator[str]:
    if isinstance(code, types.CodeType):
        yield code.co_code.hex()
        yield repr(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from _bytecode(constant)
            elif not isinstance(constant, frozenset):  # its order differs between processes
                yield repr(constant)
    elif isinstance(code, types.FunctionType):
        yield from _bytecode(code.__code__)
    elif isinstance(code, type):
        for name, member in vars(code).items():
            if isinstance(member, types.FunctionType):
                yield name
                yield from _bytecode(member)


def _is_code_of(value: Any, module: str) -> bool:
    return isinstance(value, types.FunctionType | type) and value.__module__ == module


def _is_opaque(value: Any) -> bool:
    known = (*_PLAIN, *_CONTAINERS, Mapping, Enum, PurePath, functools.partial, type, np.ndarray)
    return not isinstance(value, known) and not inspect.isroutine(value)


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a name that is assigned later
        return False
    return True


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _type_name(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
