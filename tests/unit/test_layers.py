"""Imports go downwards only, and the core names no framework."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import inc_core

ROOT = Path(inc_core.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# from the ground up; a module may import its own layer and those below
LAYERS = (
    ("errors", "machine", "manifest", "native"),
    ("quant",),
    ("hookspecs",),
    ("config", "data", "strategies", "objectives", "pruning", "common"),
    ("plugin",),
    ("tuning",),
    ("facade", "tuned_model", "trained_model", "check_sample", "experimental"),
    ("commands", "cli", "__main__", "__init__"),
    ("testing",),
)
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}

FRAMEWORKS = re.compile(
    r"(?<![a-z])(torch|pytorch|tensorflow|keras|onnx|onnxruntime|mxnet)(?![a-z])", re.IGNORECASE
)


def name_of(path):
    """Return the first part of a module's name below ``inc_core``."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def label(path):
    return path.relative_to(ROOT).as_posix()


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node):
    """Walk a tree without the blocks that only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            for other in child.orelse:
                yield from walk(other)
        else:
            yield from walk(child)


def imported_layers(tree):
    """Yield the first name below ``inc_core`` of everything that a module imports at run time."""
    for node in walk(tree):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in dotted:
            first, *rest = name.split(".")
            if first == "inc_core" and rest and rest[0] != "__version__":
                yield rest[0] if rest[0] in RANKS else "__init__"


def docstrings(tree):
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            yield node.body[0].value


def words(tree):
    """Yield every identifier and string of a module, without docstrings."""
    skipped = {id(node) for node in docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in skipped:
                yield node.lineno, node.value
            continue
        for field in ("id", "attr", "name", "arg", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield getattr(node, "lineno", 0), value


def test_every_module_has_a_layer():
    assert {name_of(path) for path in SOURCES} <= set(RANKS)


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_imports_go_downwards(path):
    own = RANKS[name_of(path)]
    tree = parsed(path)
    upwards = sorted({name for name in imported_layers(tree) if RANKS[name] > own})
    assert not upwards, f"{label(path)} imports from above: {', '.join(upwards)}"


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_no_framework_is_named(path):
    tree = parsed(path)
    found = [f"line {line}: {word!r}" for line, word in words(tree) if FRAMEWORKS.search(word)]
    assert not found, f"{label(path)}: {found}"


def test_upward_import_is_noticed():
    tree = ast.parse("def f():\n    from inc_core.testing.toy import make_model\n")
    assert list(imported_layers(tree)) == ["testing"]


def test_import_for_types_only_is_allowed():
    tree = ast.parse("if TYPE_CHECKING:\n    from inc_core.tuning.trial import Trial\n")
    assert list(imported_layers(tree)) == []


@pytest.mark.parametrize("text", ["import onnx", "x = 'torch.nn'", "keras = 1", "f(mxnet_ctx=1)"])
def test_framework_name_is_noticed(text):
    assert any(FRAMEWORKS.search(word) for _, word in words(ast.parse(text)))


def test_framework_in_a_docstring_is_allowed():
    tree = ast.parse('def f():\n    """Load ``model.onnx``."""\n')
    assert not any(FRAMEWORKS.search(word) for _, word in words(tree))
