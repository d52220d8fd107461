"""Read a YAML file or a mapping into plain values; those of a file remember their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from inc_core.config.problem import KeyPath, Lines, Problem
from inc_core.errors import ConfigError, did_you_mean

__all__ = ["Source", "read_mapping", "read_yaml"]

# what stands below these keys belongs to components, and is handed to them as it is
_COMPONENTS = frozenset(
    {"criterion", "dataset", "filter", "metric", "optimizer", "parameters", "strategy", "transform"}
)


@dataclass(frozen=True)
class Source:
    """A configuration before validation.

    Attributes:
        name: What to call it in messages: the path, or ``"configuration"``.
        content: Plain dicts, lists and values; nothing of it is shared with the user.
        lines: The line of each key in the file, from 1; empty if it was no file.
        problems: What is wrong already (duplicate keys, keys that are no strings).
    """

    name: str
    content: dict[str, Any]
    lines: Lines = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class _ConfigLoader(yaml.SafeLoader):
    """``SafeLoader`` with a few more types; a subclass, so that the global one stays as it is."""


# YAML 1.1 takes 1e-3 for a string, which nobody means in a configuration
_ConfigLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _construct_tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _construct_pruner(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_ConfigLoader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)
# each entry of pruners may carry this tag
_ConfigLoader.add_constructor("!Pruner", _construct_pruner)


def read_yaml(path: Path) -> Source:
    """Read a YAML file.

    Raises:
        ConfigError: If it cannot be read, is no YAML, is empty, or holds no mapping.
    """
    content, lines, problems = _parse(path, _read_bytes(path))
    if content is None:
        raise ConfigError(
            f"{path}: the configuration file is empty. Write at least one section "
            "('inc init' writes a commented one), or pass no configuration to use the defaults."
        )
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: the top level must be a mapping of sections such as 'model:' and 'tuning:'; "
            f"received a {type(content).__name__}"
        )
    plain, more = _plain(content)
    return Source(str(path), plain, lines, (*problems, *more))


def read_mapping(mapping: Mapping[Any, Any]) -> Source:
    """Copy a user's mapping, nested dict subclasses included, into plain dicts."""
    try:
        content, problems = _plain(mapping)
    except RecursionError as error:
        raise ConfigError("the configuration contains itself; break the cycle") from error
    return Source("configuration", content, {}, problems)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        folder = path.parent
        siblings = [p.name for p in folder.glob("*.y*ml")] if folder.is_dir() else []
        raise ConfigError(
            f"no such configuration file: {str(path)!r} (looked for {path.absolute()})."
            f"{did_you_mean(path.name, siblings)}"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration file {str(path)!r}: {error.strerror or error}"
        ) from error


def _parse(path: Path, data: bytes) -> tuple[Any, Lines, tuple[Problem, ...]]:
    """Return content, lines and duplicate keys; the last of two equal keys is kept."""
    loader = None
    try:
        loader = _ConfigLoader(data)
        node = loader.get_single_node()
        if node is None:
            return None, {}, ()
        lines: dict[KeyPath, int] = {}
        problems = tuple(_walk(node, (), lines, ()))
        return loader.construct_document(node), lines, problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{path}:{place} no valid YAML: {reason}{_hint(reason)}") from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(
            f"{path}: no valid YAML: {error.reason} at byte {error.position}; "
            "save the file in UTF-8"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no valid YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


def _hint(reason: str) -> str:
    if r"'\t'" in reason:
        return "; YAML is indented with spaces, not with tabs"
    if "mapping values are not allowed here" in reason:
        return "; is a colon missing in the line above, or is this line indented too far?"
    return ""


def _walk(
    node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], around: tuple[yaml.Node, ...]
) -> Iterator[Problem]:
    """Note the line of every key and list item below ``node``; yield duplicate keys."""
    if node in around:
        raise yaml.constructor.ConstructorError(
            None, None, "an alias (*name) stands inside its own anchor", node.start_mark
        )
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            here: KeyPath = (*path, index)
            lines[here] = item.start_mark.line + 1
            yield from _walk(item, here, lines, (*around, node))
    elif isinstance(node, yaml.MappingNode):
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str):
                continue  # a list or mapping as key: the constructor reports it
            here = (*path, key)
            if key in first_lines and key != "<<":
                yield Problem(here, _duplicate(path, first_lines[key], line))
            first_lines.setdefault(key, line)
            lines[here] = line
            yield from _walk(value_node, here, lines, (*around, node))


def _duplicate(path: KeyPath, first: int, second: int) -> str:
    text = f"stands twice, in lines {first} and {second}; keep one"
    if path and path[-1] == "transform":
        text += " (to apply a transform twice, write a list of single entries)"
    return text


def _plain(mapping: Mapping[Any, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    problems: list[Problem] = []
    return _plain_mapping(mapping, (), problems), tuple(problems)


def _plain_mapping(
    mapping: Mapping[Any, Any], path: KeyPath, problems: list[Problem]
) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(key, bool) or not isinstance(key, str | int | float):
            text = f"a key must be a string; received {key!r} ({type(key).__name__}). Quote it."
            problems.append(Problem(path, text))
            continue
        if not _COMPONENTS.intersection(path):
            key = str(key)  # an op's name may look like a number
        plain[key] = _plain_value(value, (*path, str(key)), problems)
    return plain


def _plain_value(value: Any, path: KeyPath, problems: list[Problem]) -> Any:
    if isinstance(value, Mapping):
        return _plain_mapping(value, path, problems)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        items = [_plain_value(item, (*path, i), problems) for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    return value
