"""Nothing that decides may read a clock that can be set."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import inc_core

TUNING = Path(inc_core.__file__).parent / "tuning"

# For readers only: when a run was started, when a cache entry was last used.
ALLOWED = {"lock.py": {"strftime"}}

WALL_CLOCKS = {"time", "time_ns", "ctime", "localtime", "gmtime", "strftime", "now", "today"}


def wall_clocks_of(path):
    """Yield the names of wall clocks that a module calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if node.func.attr in WALL_CLOCKS and owner in ("time", "datetime", "datetime.datetime"):
                yield node.func.attr


@pytest.mark.parametrize("path", sorted(TUNING.rglob("*.py")), ids=lambda path: path.name)
def test_a_search_reads_monotonic_clocks_alone(path):
    assert set(wall_clocks_of(path)) <= ALLOWED.get(path.name, set())
