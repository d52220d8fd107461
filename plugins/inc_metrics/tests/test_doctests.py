"""Examples in docstrings and in the README are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import inc_metrics

MODULES = [f"inc_metrics.{module.name}" for module in pkgutil.iter_modules(inc_metrics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_are_right(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_example_of_the_readme_runs(capsys):
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
    exec(example, {})
    assert capsys.readouterr().out == "1.0\n"
