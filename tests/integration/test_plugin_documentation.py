"""``docs/plugins.md`` is true: its packages are written to disk, loaded, named and proven."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from inc_core.config.load import load_config

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, flags=re.DOTALL | re.MULTILINE)


def files(language):
    """Return the blocks of a language by the file name in their first line."""
    blocks = [text for found, text in BLOCKS if found == language]
    return {text.splitlines()[0].removeprefix("# "): text for text in blocks}


PYTHON = files("python")
PROJECTS = files("toml")
PLUGINS = [name.partition("/")[0] for name in PROJECTS]
CONFIGURATIONS = [text for language, text in BLOCKS if language == "yaml"]

PROOF = """
import {plugin}
from inc_core.testing.plugin_suite import PluginSuite

class TestPlugin(PluginSuite):
    plugin = {plugin}
"""


@pytest.fixture
def folder(tmp_path):
    """Return a folder with every module of the document."""
    (tmp_path / "tests").mkdir()
    for name, text in PYTHON.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(folder, *arguments):
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_kind_has_a_package():
    hooks = set(re.findall(r"def (inc_\w+)", "".join(PYTHON.values())))
    assert {f"inc_{kind}" for kind in ("adaptors", "strategies", "datasets", "transforms")} <= hooks
    assert {"inc_metrics", "inc_objectives", "inc_observers", "inc_trial_finished"} <= hooks
    assert "inc_pruners" in hooks


@pytest.mark.parametrize("name", PROJECTS)
def test_project_names_its_module_as_entry_point(name):
    plugin, _, rest = name.partition("/")
    assert rest == "pyproject.toml"
    assert f"{plugin}.py" in PYTHON
    assert re.search(rf'\[project.entry-points."inc_core.v1"\]\n\w+ = "{plugin}"', PROJECTS[name])
    assert f'name = "{plugin.replace("_", "-")}"' in PROJECTS[name]


def test_every_package_passes_the_suites(folder):
    for plugin in PLUGINS:
        if f"tests/test_{plugin}.py" not in PYTHON:
            (folder / "tests" / f"test_{plugin}.py").write_text(PROOF.format(plugin=plugin))
    outcome = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder))
    assert outcome.returncode == 0, outcome.stdout


def test_a_package_installs_with_its_tests_beside_it(tmp_path):
    pytest.importorskip("setuptools", "70.1", "older ones need the package `wheel` beside them")
    for plugin in PLUGINS:
        package = tmp_path / plugin
        (package / "tests").mkdir(parents=True)
        (package / "pyproject.toml").write_text(PROJECTS[f"{plugin}/pyproject.toml"])
        for name in (f"{plugin}.py", f"{plugin}_adaptor.py", f"tests/test_{plugin}.py"):
            if name in PYTHON:
                (package / name).write_text(PYTHON[name])
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site"]
    outcome = run(tmp_path, "-m", "pip", "install", *options, *(f"./{one}" for one in PLUGINS))
    assert outcome.returncode == 0, outcome.stderr
    assert {path.stem for path in (tmp_path / "site").glob("*.py")} >= set(PLUGINS)


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_configuration_is_valid(text):
    load_config(yaml.safe_load(text))


def test_components_can_be_made_as_the_configurations_say(folder):
    code = (
        f"import {', '.join(PLUGINS)}\n"
        "from inc_core.config.types import ComponentConfig as C\n"
        "from inc_core.plugin import Plugins\n"
        f"plugins = Plugins.of({', '.join(PLUGINS)})\n"
        "assert plugins.create('metric', C('agreement', 0.2)).threshold == 0.2\n"
        "scale = plugins.create('transform', C('scale', 0.5))\n"
        "data = plugins.create('dataset', C('squares', {'size': 100}), transform=scale)\n"
        "assert len(data) == 100 and data[3] == (1.5, 9)\n"
        "assert plugins.create('observer', C('shrink')).needs_values is False\n"
        "assert plugins.create('objective', C('worst_latency', 3)).repeats == 3\n"
        "assert plugins.create('pruner', C('lottery', {'seed': 3})).rng is not None\n"
        "assert plugins.component('strategy', 'halving').__name__ == 'Halving'\n"
        "assert plugins.guess_framework('a.linear.npz').framework == 'linear'\n"
    )
    outcome = run(folder, "-c", code)
    assert outcome.returncode == 0, outcome.stderr
