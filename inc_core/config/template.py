"""A commented configuration for ``inc init``, made from the schema and the defaults."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from inc_core.config.build import build_config
from inc_core.config.dump import config_to_dict, dataloader_document
from inc_core.config.schema import Rules, schema
from inc_core.config.types import ComponentConfig, DataLoaderConfig
from inc_core.config.validate import validate
from inc_core.errors import ConfigError

__all__ = ["render_template"]

# A file for quantization says nothing of the other ways to make a model smaller.
_LEFT_OUT = ("train", "pruning", "distillation")
_EXAMPLE_DATASET = ComponentConfig("npz", {"path": "FILE.npz", "inputs": "x", "labels": "y"})
_WIDTH = 92  # of a line, without its last indent
_HEAD = """\
# Configuration of inc: every line may be left out, and then has the value shown here.
# A line such as '#key: value', without a space, is an example of what may be added.
# docs/configuration.md describes every key.
"""


def render_template(
    model_name: str,
    framework: str,
    approach: str,
    op_types: Sequence[str] = (),
    inputs: Sequence[str] = (),
) -> str:
    """Return YAML text with every section, each key with its default and a comment.

    Args:
        model_name: A label for reports.
        framework: A framework's name; empty if the plugins are asked.
        approach: An approach, by its new or its old name.
        op_types: Op types of the model, listed where ``optype_wise`` is explained.
        inputs: Names of the model's inputs, where they need to be stated.

    Raises:
        ConfigError: If the approach is unknown.
    """
    stated = {
        "model": {"name": model_name, "framework": framework, "inputs": list(inputs)},
        "quantization": {"approach": approach},
    }
    checked, problems = validate(stated)
    if problems:
        raise ConfigError("no template", [problem.describe({}) for problem in problems])
    document = {"version": 1.0, **config_to_dict(build_config(checked))}
    document = {name: value for name, value in document.items() if name not in _LEFT_OUT}
    del document["evaluation"]["performance"]  # it has no effect yet
    lines = list(_render(document, schema(), ""))
    text = "\n".join(_HEAD.splitlines() + lines) + "\n"
    return _with_op_types(text, op_types)


def _render(document: Mapping[str, Any], rules: Mapping[str, Rules], indent: str) -> Iterator[str]:
    for name, value in document.items():
        meta = rules[name]["meta"]
        if not indent:
            yield ""
        if _is_empty(value):
            yield from (
                f"{indent}{line}" if line.startswith("#") else f"{indent}#{line}"
                for line in _example(name, rules[name])
            )
        elif isinstance(value, Mapping) and "schema" in rules[name]:
            yield f"{indent}{name}:{_comment(meta['doc'])}"
            yield from _render(value, rules[name]["schema"], f"{indent}  ")
        else:
            yield from _commented(f"{indent}{name}: {_inline(value)}", meta["doc"])


def _example(name: str, rules: Rules) -> Iterator[str]:
    """Yield lines that show how a key without a default is written."""
    meta, keys = rules["meta"], rules.get("schema", {})
    if meta["example"]:
        yield from _commented(f"{name}: {meta['example']}", meta["doc"])
        return
    yield f"{name}:{_comment(meta['doc'])}"
    if "dataset" in keys:
        document = dataloader_document(DataLoaderConfig(_EXAMPLE_DATASET))
        stated = {key: value for key, value in document.items() if not _is_empty(value)}
        yield from (f"  {key}: {_inline(value)}" for key, value in stated.items())
    else:
        for key, inner in keys.items():
            yield from (f"  {line}" for line in _example(key, inner))


def _commented(line: str, doc: str) -> Iterator[str]:
    """Yield a line with its comment behind it, or above it where that gets too long."""
    comment = _comment(doc)
    if len(line) + len(comment) <= _WIDTH:
        yield line + comment
    else:
        indent = line[: len(line) - len(line.lstrip())]
        yield from textwrap.wrap(
            doc.replace("`", ""),
            _WIDTH - len(indent),
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
        )
        yield line


def _comment(doc: str) -> str:
    return f"  # {doc.replace('`', '')}" if doc else ""


def _inline(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_empty(item) for item in value.values())
    return value is None or value in ("", [], ())


def _with_op_types(text: str, op_types: Sequence[str]) -> str:
    """Name the model's op types above the example of ``optype_wise``, and use the first in it."""
    if not op_types:
        return text
    start = text.index("  #optype_wise")
    listed = f"  # op types of this model: {', '.join(op_types)}\n"
    return text[:start] + listed + text[start:].replace("OpType", op_types[0], 1)
