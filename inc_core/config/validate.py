"""Check and coerce a plain mapping with cerberus; every fault becomes one ``Problem``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from cerberus import Validator  # type: ignore[import-untyped]
from cerberus.errors import (  # type: ignore[import-untyped]
    BAD_TYPE,
    MAX_VALUE,
    MIN_VALUE,
    NOT_NULLABLE,
    REQUIRED_FIELD,
    UNALLOWED_VALUE,
    UNKNOWN_FIELD,
    BaseErrorHandler,
    ValidationError,
)
from cerberus.schema import (  # type: ignore[import-untyped]
    DefinitionSchema,
    UnvalidatedSchema,
)

from inc_core.config.problem import KeyPath, Problem, received
from inc_core.config.schema import RECIPES, rules_at, schema
from inc_core.errors import did_you_mean

__all__ = ["validate"]


def validate(content: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return the coerced content, and one problem for each faulty key."""
    validator = Validator(_known_to_be_valid(), error_handler=_Collector)
    validator.validate(content)
    document: dict[str, Any] = validator.document
    return document, (*validator.errors, *_misspelt_recipes(document))


@cache
def _known_to_be_valid() -> UnvalidatedSchema:
    """Return the schema for as long as the process lives.

    It is ours and a test checks it; cerberus would check it anew for each document, 0.15 s each time.
    """
    return UnvalidatedSchema(DefinitionSchema.expand(schema()))


class _Collector(BaseErrorHandler):  # type: ignore[misc]
    """Turns cerberus' errors into problems, the first one of each key path."""

    def __call__(self, errors: Iterable[ValidationError]) -> list[Problem]:
        found: dict[KeyPath, Problem] = {}
        for error in _leaves(errors):
            path = tuple(error.document_path)
            found.setdefault(path, Problem(path, _explain(error, path)))
        return list(found.values())


def _leaves(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    for error in errors:
        if error.child_errors:
            yield from _leaves(error.child_errors)
        else:
            yield error


def _explain(error: ValidationError, path: KeyPath) -> str:
    rules = rules_at(path)
    name = str(path[-1])
    match error.code:
        case UNKNOWN_FIELD.code:
            known = list(rules_at(path[:-1]).get("schema", ()))
            return f"unknown key.{did_you_mean(name, known)} Allowed here: {', '.join(known)}"
        case BAD_TYPE.code:
            keys = ", ".join(rules.get("schema", ()))
            return f"{received(error.value)}; allowed: a mapping{f' of {keys}' if keys else ''}"
        case UNALLOWED_VALUE.code:
            allowed = ", ".join(map(str, error.constraint))
            guess = did_you_mean(str(error.value), map(str, error.constraint))
            return f"{received(error.value)}; allowed: {allowed}.{guess}"
        case MIN_VALUE.code | MAX_VALUE.code:
            return f"{received(error.value)}; allowed: {rules['meta']['kind']}"
        case REQUIRED_FIELD.code | NOT_NULLABLE.code:
            return f"missing: {rules['meta']['doc']}"
    return str(error.info[0])  # the text of a rule in coerce or schema


def _misspelt_recipes(document: Mapping[str, Any]) -> Iterator[Problem]:
    quantization = document.get("quantization")
    recipes = quantization.get("recipes") if isinstance(quantization, Mapping) else None
    for name in recipes if isinstance(recipes, Mapping) else ():
        guess = "" if name in RECIPES else did_you_mean(name, RECIPES)
        if guess:
            text = f"unknown switch.{guess} Known: {', '.join(RECIPES)}"
            yield Problem(("quantization", "recipes", name), text)
