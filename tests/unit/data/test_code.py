from __future__ import annotations

import functools
import importlib.util
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from inc_core.data.code import describe_code, package_version

CONSTANT = 3
TABLE = np.arange(4)


def helper(x):
    return x + CONSTANT


class Metric:
    limit = 0.5

    def __init__(self, k=1):
        self.k = k
        self.total = 0

    def update(self, predictions, labels):
        self.total += helper(predictions.sum()) + TABLE[0]

    def result(self):
        return np.float64(self.total)


def opaque(*values):
    return describe_code(*values).opaque


def test_plain_code_hides_nothing():
    assert opaque(Metric(), helper, functools.partial(helper, 2), Metric().update, Metric) == ()


def test_equal_objects_have_equal_digests_and_others_differ():
    digest = describe_code(Metric(1)).digest
    assert digest == describe_code(Metric(1)).digest
    assert digest != describe_code(Metric(2)).digest
    assert describe_code(helper).digest != describe_code(functools.partial(helper)).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("LIMIT = 1", "LIMIT = 2", id="a constant of the module"),
        pytest.param("x * 2", "x * 3", id="a helper of a helper"),
        pytest.param("y=4", "y=5", id="a default"),
        pytest.param("value - 1", "value - 2", id="a method of a base class"),
    ],
)
def test_a_change_anywhere_below_is_noticed(tmp_path, monkeypatch, old, new):
    text = (
        "LIMIT = 1\n"
        "def inner(x):\n    return x * 2\n"
        "def outer(x, y=4):\n    return inner(x) + y\n"
        "class Base:\n    def shift(self, value):\n        return value - 1\n"
        "class Metric(Base):\n    def result(self):\n        return outer(self.shift(LIMIT))\n"
    )
    digests = []
    for number, content in enumerate((text, text, text.replace(old, new))):
        path = tmp_path / f"{number}.py"
        path.write_text(content)
        spec = importlib.util.spec_from_file_location("users_metric", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "users_metric", module)
        spec.loader.exec_module(module)
        code = describe_code(module.Metric())
        assert code.opaque == ()
        digests.append(code.digest)
    assert digests[0] == digests[1] != digests[2]


def reads_a_file(x):
    return open(x).read()  # noqa: PTH123


def test_what_cannot_be_seen_is_named():
    rng = np.random.default_rng(0)
    lock = threading.Lock()
    assert opaque(reads_a_file) == ("'open' in reads_a_file",)
    assert "numpy.random._generator.Generator" in opaque(lambda x: x + rng.normal())[0]
    assert "lock" in opaque(lambda x: lock)[0]
    assert opaque(lambda x: np.load(x))[0].startswith("'load' in")


def test_a_path_is_a_value_and_looking_there_is_not():
    one, other = Path("/data/a"), Path("/data/b")
    assert opaque(lambda: one) == ()
    assert describe_code(one).digest != describe_code(other).digest
    assert "'exists'" in opaque(lambda: one.exists())[0]


def test_what_is_installed_counts_by_version():
    assert opaque(np.mean, np.load, threading.Thread, np) == ()


class Refuses:
    @property
    def __dict__(self):
        raise RuntimeError("not now")


class Endless:
    def __init__(self, depth):
        self.deeper = [Holder() for _ in range(depth)]


class Holder:
    pass


def test_what_cannot_be_looked_at_or_has_no_end_is_opaque():
    assert opaque(Refuses()) == ("something that cannot be looked at (RuntimeError)",)
    assert opaque(Endless(20_000)) == ("more than 10000 objects",)
    assert opaque(Endless(10)) == ()


def test_a_package_that_is_worked_on_changes_its_version_with_every_file(tmp_path, monkeypatch):
    package = tmp_path / "users_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "kernel.py").write_text("FAST = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("users_package")
    before = package_version("users_package.kernel")
    assert before == package_version("users_package")
    (package / "kernel.py").write_text("FAST = 23")
    assert package_version("users_package") != before
    monkeypatch.delitem(sys.modules, "users_package")


def test_a_single_file_counts_by_itself_and_code_without_a_file_is_never_the_same(
    tmp_path, monkeypatch
):
    (tmp_path / "users_file.py").write_text("FAST = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("users_file")
    before = package_version("users_file")
    (tmp_path / "beside.py").write_text("")
    assert package_version("users_file") == before
    (tmp_path / "users_file.py").write_text("FAST = 23")
    assert package_version("users_file") != before
    monkeypatch.delitem(sys.modules, "users_file")
    monkeypatch.setitem(sys.modules, "users_cells", types.ModuleType("users_cells"))
    assert package_version("users_cells") != package_version("users_cells")


def test_an_installed_package_has_the_version_of_its_distribution():
    assert package_version("numpy.linalg") == np.__version__


def test_sets_of_plain_values_are_seen_whatever_their_order():
    assert opaque({"b", "a"}) == ()
    assert describe_code({"b", "a"}).digest == describe_code({"a", "b"}).digest
    assert describe_code({"b", "a"}).digest != describe_code({"a", "c"}).digest


def test_what_refers_to_itself_ends():
    one, other = [], {}
    one.append(other)
    other["one"] = one
    assert opaque(one) == ()
