"""Turn a component's parameters, as written in a configuration, into a checked call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from inc_core.errors import ConfigError, PluginError, did_you_mean

__all__ = ["instantiate"]

_Parameter = inspect.Parameter


def instantiate(
    factory: Callable[..., Any], title: str, parameters: Any, extra: Mapping[str, Any]
) -> Any:
    """Call a component's class with what the user wrote; everything is checked before the call.

    Args:
        factory: The component's class. Its attribute ``schema``, if any, holds cerberus rules.
        title: What the component is, for messages, such as ``"metric 'topk'"``.
        parameters: A mapping gives keywords, ``None`` nothing, anything else is the first one.
        extra: Keywords from the core, passed only where the constructor has them by name.

    Raises:
        ConfigError: If a parameter is unknown, missing, given twice, or breaks the schema.
        PluginError: If the schema itself is wrong.
    """
    signature = _signature(factory)
    if signature is None:
        return _call_unchecked(factory, parameters)
    given = _keywords(signature, title, parameters, extra)
    offered = {
        name: value
        for name, value in extra.items()
        if name in signature.parameters and not (value is None and name in given)
    }
    twice = sorted(set(given) & set(offered))
    if twice:
        raise ConfigError(
            f"{title}: {twice[0]!r} is given twice: among its parameters, and by the data loader. "
            "Leave one out"
        )
    _check_names(signature, title, given, {**given, **offered})
    _check_schema(factory, title, given)
    return factory(**given, **offered)


def _signature(factory: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(factory)
    except (ValueError, TypeError):  # some classes written in C tell nothing about themselves
        return None


def _call_unchecked(factory: Callable[..., Any], parameters: Any) -> Any:
    if parameters is None:
        return factory()
    return factory(**parameters) if isinstance(parameters, Mapping) else factory(parameters)


def _keywords(
    signature: inspect.Signature, title: str, parameters: Any, extra: Mapping[str, Any]
) -> dict[str, Any]:
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return {str(name): value for name, value in parameters.items()}
    first = next((name for name in _by_keyword(signature) if name not in extra), None)
    if first is None:
        raise ConfigError(f"{title} takes no parameters; received {parameters!r}")
    return {first: parameters}


def _by_keyword(signature: inspect.Signature) -> list[str]:
    kinds = (_Parameter.POSITIONAL_OR_KEYWORD, _Parameter.KEYWORD_ONLY)
    return [entry.name for entry in signature.parameters.values() if entry.kind in kinds]


def _check_names(
    signature: inspect.Signature, title: str, given: Mapping[str, Any], passed: Mapping[str, Any]
) -> None:
    known = _by_keyword(signature)
    takes_any = any(p.kind is _Parameter.VAR_KEYWORD for p in signature.parameters.values())
    problems = [
        f"unknown parameter {name!r}.{did_you_mean(name, known)}"
        for name in given
        if name not in known and not takes_any
    ]
    problems += [
        f"missing parameter {entry.name!r}"
        for entry in signature.parameters.values()
        if entry.name in known and entry.default is _Parameter.empty and entry.name not in passed
    ]
    if problems:
        plain = signature.replace(return_annotation=inspect.Signature.empty)
        raise ConfigError(
            f"{title} cannot be made from {dict(given)!r}; its signature is {plain}", problems
        )


def _check_schema(factory: Any, title: str, given: Mapping[str, Any]) -> None:
    schema = getattr(factory, "schema", None)
    if not isinstance(schema, Mapping):
        return
    # here, because few components have a schema and the import costs 50 ms
    import cerberus  # type: ignore[import-untyped]

    try:
        validator = cerberus.Validator(dict(schema), allow_unknown=True)
        valid = validator.validate(dict(given), normalize=False)
    except cerberus.SchemaError as error:
        raise PluginError(f"{title}: its `schema` is not one of cerberus: {error}") from error
    if not valid:
        problems = [
            f"{name}: received {given.get(name)!r}: {error}"
            for name, errors in validator.errors.items()
            for error in errors
        ]
        raise ConfigError(f"{title} cannot be made from {dict(given)!r}", problems)
