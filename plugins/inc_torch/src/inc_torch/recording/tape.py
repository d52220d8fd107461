"""One run of a module on tensors without data, and the operators that it called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from inc_torch.recording.results import result_of

__all__ = ["Call", "NotPlainError", "Ref", "State", "Tape", "run"]

_REQUIRED = object()
_AUTOCAST_DEVICES = ("cpu", "cuda")


class NotPlainError(Exception):
    """A module does something that cannot be recorded; the message says what."""


@dataclass(frozen=True)
class Ref:
    """A tensor that the run was given or computed: inputs come first, then results in order."""

    number: int


@dataclass(frozen=True)
class State:
    """A parameter or buffer, by its path."""

    path: str


@dataclass(frozen=True)
class Call:
    """One call of an operator.

    Attributes:
        target: The operator, all of whose arguments are in the order of its schema.
        args: With ``Ref`` and ``State`` for tensors, lists for sequences.
        kwargs: Those that the schema has by name only.
        results: Numbers of the tensors that it gave.
        module: Path and type of the module whose code called it.
    """

    target: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    results: tuple[int, ...]
    module: tuple[str, type[nn.Module]]


@dataclass
class Tape:
    """What a run called, and the tensors that it saw.

    Attributes:
        state: Parameters and buffers of the module, by path.
        tensors: On the device ``meta``, by number.
        calls: In order.
        outputs: What the module returned.
    """

    state: Mapping[str, Tensor]
    tensors: list[Tensor] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    outputs: Any = None

    def __post_init__(self) -> None:
        # while the tape holds tensors, their ids are theirs alone
        self._names: dict[int, Ref | State] = {
            id(tensor): State(path) for path, tensor in self.state.items()
        }
        self._without_data: dict[str, Tensor] = {}
        self._module: list[tuple[str, type[nn.Module]]] = [("", nn.Module)]
        self.net = _Net()

    def add(self, tensor: Tensor) -> int:
        """Give a tensor the next number."""
        self.tensors.append(tensor)
        self._names[id(tensor)] = Ref(len(self.tensors) - 1)
        return len(self.tensors) - 1

    def name(self, value: Any) -> Any:
        """Return an argument with tensors replaced by what they are."""
        if isinstance(value, Tensor):
            name = self._names.get(id(value))
            if name is None:
                raise NotPlainError("its code makes tensors of its own")
            return name
        if isinstance(value, (list, tuple)):
            return [self.name(one) for one in value]
        if value is None or isinstance(value, (bool, int, float, str, torch.dtype, torch.device)):
            return value
        raise NotPlainError(f"an operator takes a {type(value).__name__}")

    def call(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Record a call and return what it would: tensors of its shapes, without data.

        Args:
            target: An overload of ``torch.ops``.
            args: As Python functions take them: sizes may be numbers of their own at the end.
            kwargs: By the names of the schema.
        """
        ordered, named = _ordered(target, args, kwargs)
        result = self._result(target, ordered, named)
        described = tuple(self.name(one) for one in ordered)
        given = {key: self.name(one) for key, one in named.items()}
        several = result if isinstance(result, (list, tuple)) else (result,)
        numbers = tuple(self.add(one) for one in several)
        self.calls.append(Call(target, described, given, numbers, self._module[-1]))
        return result

    def _result(self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if target._schema.is_mutable:
            return args[0]  # only operators that write over their first argument and return it
        with self.net.lifted():
            if "device" in kwargs:
                kwargs = {**kwargs, "device": "meta"}
            return result_of(target, [self._bare(one) for one in args], kwargs)

    def _bare(self, value: Any) -> Any:
        """Return an argument whose parameters have no data either."""
        if isinstance(value, list):
            return [self._bare(one) for one in value]
        name = self._names.get(id(value)) if isinstance(value, Tensor) else None
        if not isinstance(name, State):
            return value
        if name.path not in self._without_data:
            bare = torch.empty(value.shape, dtype=value.dtype, device="meta")
            self._without_data[name.path] = bare
        return self._without_data[name.path]

    @contextmanager
    def following(self, module: nn.Module) -> Iterator[None]:
        """Know which submodule is running."""
        handles = []
        for path, one in module.named_modules():
            enter = partial(self._enter, (path, type(one)))
            handles.append(one.register_forward_pre_hook(enter, prepend=True))
            handles.append(one.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, here: tuple[str, type[nn.Module]], *_: object) -> None:
        self._module.append(here)

    def _leave(self, *_: object) -> None:
        self._module.pop()


class _Watch(TorchFunctionMode):
    """Sees every function of torch that a module's code calls, and records it through the table."""

    def __init__(self, tape: Tape, functions: Mapping[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self._tape, self._functions = tape, functions

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        function = self._functions.get(func)
        if function is None:
            raise NotPlainError(f"its code calls {getattr(func, '__qualname__', func)}")
        if any(map(torch.is_autocast_enabled, _AUTOCAST_DEVICES)):
            raise NotPlainError("its code chooses precisions itself (autocast)")
        return function(self._tape, *args, **(kwargs or {}))


class _Net(TorchDispatchMode):
    """Catches operators that ``_Watch`` does not see: those of compiled code."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        raise NotPlainError(f"{func} is called from where it cannot be seen")

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let operators through. Were they handed on instead, torch would import its compiler, in 1 s."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()


@torch.no_grad()
def run(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    functions: Mapping[Any, Callable[..., Any]],
) -> Tape:
    """Run a module and return what it called.

    Args:
        module: In evaluation mode. Its own objects may be changed by its code; its tensors are not.
        inputs: Without data, on the device ``meta``, by parameter of ``forward``.
        functions: What may be called, and how it is recorded: each takes the tape first.

    Raises:
        NotPlainError: If anything else is called, or an operator's arguments cannot be written down.
    """
    tape = Tape({**dict(module.named_parameters()), **dict(module.named_buffers())})
    for path, tensor in tape.state.items():
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout is not torch.strided:
            raise NotPlainError(f"{path} is a {type(tensor).__name__} of layout {tensor.layout}")
    for tensor in inputs.values():
        tape.add(tensor)
    with tape.following(module), tape.net, _Watch(tape, functions):
        tape.outputs = module(**inputs)
    return tape


@dataclass(frozen=True)
class _Parameter:
    name: str
    is_list: bool
    length: int | None
    default: Any


@lru_cache
def _parameters(target: Any) -> tuple[tuple[_Parameter, ...], Mapping[str, Any]]:
    """Return what an operator takes by position, and the defaults of what it takes by name only."""
    arguments = target._schema.arguments
    positional = [
        _Parameter(
            one.name,
            isinstance(one.type, torch.ListType),
            one.N,
            one.default_value if one.has_default_value() else _REQUIRED,
        )
        for one in arguments
        if not one.kwarg_only
    ]
    return tuple(positional), {one.name: one.default_value for one in arguments if one.kwarg_only}


def _ordered(
    target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments as a schema has them: by position, sequences as lists, no defaults at the end."""
    positional, by_name = _parameters(target)
    last = len(positional) - 1
    given = [*args[:last], list(args[last:])] if len(args) > len(positional) else list(args)
    named = dict(kwargs)
    if "input" in named and positional[0].name == "self":
        named["self"] = named.pop("input")  # as the functions of torch call it
    for parameter in positional[len(given) :]:
        value = named.pop(parameter.name, parameter.default)
        if value is _REQUIRED:
            raise NotPlainError(f"{target} is called without {parameter.name!r}")
        given.append(value)
    if not named.keys() <= by_name.keys():
        raise NotPlainError(f"{target} is called with {', '.join(named.keys() - by_name.keys())}")
    named = {key: value for key, value in named.items() if value != by_name[key]}
    listed = [_listed(value, one) for value, one in zip(given, positional, strict=True)]
    while not isinstance(listed[-1], Tensor) and positional[len(listed) - 1].default == listed[-1]:
        listed.pop()
    return listed, named


def _listed(value: Any, parameter: _Parameter) -> Any:
    if isinstance(value, (list, tuple)):
        return list(value)
    if parameter.is_list and type(value) is int:
        return [value] * (parameter.length or 1)
    return value
