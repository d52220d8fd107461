"""``import inc_core`` is fast and brings nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import inc_core

MEASURE = """
import json, sys, time
before = set(sys.modules)
start = time.process_time()
import inc_core
seconds = time.process_time() - start
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""
FRAMEWORKS = {"torch", "tensorflow", "keras", "onnx", "onnxruntime", "mxnet"}


def in_fresh_process(code):
    root = str(Path(inc_core.__file__).parents[1])
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def imports():
    return [in_fresh_process(MEASURE) for _ in range(5)]


def test_import_takes_less_than_150_ms(imports):
    assert min(run["seconds"] for run in imports) < 0.15


def test_import_brings_neither_numpy_nor_parsers_nor_frameworks(imports):
    heavy = {"numpy", "yaml", "cerberus", "pluggy", "importlib_metadata"} | FRAMEWORKS
    assert not heavy & set(imports[0]["modules"])


def test_hookimpl_needs_pluggy_alone():
    code = MEASURE.replace("import inc_core\n", "from inc_core import hookimpl\n")
    modules = set(in_fresh_process(code)["modules"])
    assert "pluggy" in modules
    assert not {"numpy", "yaml", "cerberus"} & modules


def test_the_facade_brings_no_framework():
    code = MEASURE.replace("import inc_core\n", "from inc_core import Quantization\n")
    assert not FRAMEWORKS & set(in_fresh_process(code)["modules"])
