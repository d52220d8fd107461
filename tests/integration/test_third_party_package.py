"""Real third-party packages: installed by pip, found by entry points, in fresh processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("inc_example_strategy", "inc_example_metric", "inc_broken")
SWITCHES = ("INC_PLUGINS", "INC_DISABLED_PLUGINS", "INC_STRICT_PLUGINS")
# older ones need the package `wheel` beside them to build one
SETUPTOOLS = (70, 1)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a folder into which pip installed the packages of ``tests/packages``."""
    found = _setuptools_version()
    if found < SETUPTOOLS:
        pytest.skip(
            f"needs setuptools >= 70.1 in this environment to build packages, found {found}"
        )
    folder = tmp_path_factory.mktemp("third_party")
    # copied, because a build leaves folders beside the sources
    sources = [str(folder / "sources" / name) for name in PACKAGES]
    for source in sources:
        shutil.copytree(ROOT / "tests" / "packages" / Path(source).name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    target = folder / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), *sources],
        check=True,
        cwd=folder,
    )
    return target


def _setuptools_version() -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in metadata.version("setuptools").split(".")[:2])
    except metadata.PackageNotFoundError:
        return (0,)


@pytest.fixture
def run(site, tmp_path):
    """Return a function that runs code in a fresh process, away from the checkout."""

    def run_code(code: str, **switches: str) -> subprocess.CompletedProcess[str]:
        environment = {name: text for name, text in os.environ.items() if name not in SWITCHES}
        environment |= {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), **switches}
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run_code


def ours(rows):
    """Leave out what else happens to be installed beside the tests."""
    return {row["name"]: row for row in rows if row["distribution"] in DISTRIBUTIONS}


DISTRIBUTIONS = {"inc-example-strategy", "inc-example-metric", "inc-broken"}

LIST = "import sys; from inc_core.cli import main; sys.exit(main(['plugins', '--json']))"


def test_every_plugin_is_found_with_its_origin_and_the_broken_one_says_why(run):
    outcome = run(LIST)
    assert outcome.returncode == 0, outcome.stderr
    rows = ours(json.loads(outcome.stdout)["plugins"])
    assert rows["halving"]["version"] == "1.2.0"
    assert rows["halving"]["offers"] == {"strategy": ["halving"]}
    assert rows["example_metric"]["offers"] == {"metric": ["agreement", "exotic"]}
    assert rows["broken"]["stage"] == "import"
    assert "needs libgone.so.3" in rows["broken"]["error"]
    assert outcome.stderr.count("libgone.so.3") == 1


def test_plugins_are_sorted_by_distribution(run):
    code = (
        "from inc_core.plugin import get_plugins\n"
        "print(*(record.distribution for record in get_plugins().records[1:]))"
    )
    found = run(code).stdout.split()
    assert found == sorted(found)
    assert found[:1] == ["inc-broken"]


def test_components_are_imported_on_first_use_only(run):
    code = (
        "import sys\n"
        "from inc_core.config.types import ComponentConfig\n"
        "from inc_core.plugin import get_plugins\n"
        "plugins = get_plugins()\n"
        "assert 'inc_example_metric.agreement' not in sys.modules\n"
        "print(plugins.create('metric', ComponentConfig('agreement', 0.5)).threshold)\n"
        "print(plugins.component('strategy', 'halving/halving').__name__)"
    )
    assert run(code).stdout.split() == ["0.5", "Halving"]


def test_missing_framework_of_a_plugin_is_named(run):
    outcome = run(
        "from inc_core.plugin import get_plugins\nget_plugins().component('metric', 'exotic')"
    )
    assert "MissingFrameworkError" in outcome.stderr
    assert "needs the module 'inc_test_absent_framework', which is not installed" in outcome.stderr


def test_strict_mode_makes_the_broken_plugin_an_error(run):
    outcome = run(LIST, INC_STRICT_PLUGINS="1")
    assert outcome.returncode == 3
    assert "plugin 'broken' (inc-broken 9.0) is broken" in outcome.stderr + outcome.stdout


def test_disabled_plugins_are_listed_and_not_imported(run):
    outcome = run(LIST, INC_DISABLED_PLUGINS="inc-broken,halving", INC_STRICT_PLUGINS="1")
    assert outcome.returncode == 0, outcome.stderr
    rows = ours(json.loads(outcome.stdout)["plugins"])
    assert {name: row["stage"] for name, row in rows.items()} == {
        "halving": "disabled",
        "example_metric": "ok",
        "broken": "disabled",
    }


def test_empty_load_list_leaves_the_builtins(run):
    outcome = run(LIST, INC_PLUGINS="")
    rows = json.loads(outcome.stdout)["plugins"]
    assert [row["name"] for row in rows if row["stage"] == "ok"] == ["builtin"]


def test_requiring_the_broken_plugin_is_an_error(run):
    outcome = run("from inc_core.plugin import get_plugins\nget_plugins().require(['inc_broken'])")
    assert "PluginError: plugins.require: plugin 'broken' (inc-broken 9.0)" in outcome.stderr


def test_discovery_imports_no_framework_and_is_quick(run):
    code = (
        "import sys, time\n"
        "import numpy, inc_core.plugin\n"
        "start = time.process_time()\n"
        "inc_core.plugin.get_plugins()\n"
        "print(time.process_time() - start)\n"
        "print(*{'torch', 'tensorflow', 'onnx', 'onnxruntime', 'mxnet'} & set(sys.modules))"
    )
    outcomes = [run(code).stdout.split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in outcomes) < 0.05  # a busy machine may need more
    assert all(frameworks == [] for _, *frameworks in outcomes)
