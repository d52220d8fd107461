"""``source_of`` and ``text_of``: equal for equal things in any process, different otherwise."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import inc_core
from inc_core.data import source
from inc_core.data.source import source_of, text_of


def helper(value):
    return value + 1


def uses_helper(value):
    return helper(value)


def make_scaler(factor):
    def scale(value):
        return value * factor

    return scale


def with_default(value, factor=2):
    return value * factor


class Base:
    def rate(self, value):
        return value


class Metric(Base):
    def __init__(self, k=1, weights=None):
        self.k, self.weights = k, weights

    def score(self, value):
        return value


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k


SAME = {
    "function": lambda: helper,
    "closure": lambda: make_scaler(3),
    "closure over an array": lambda: make_scaler(np.arange(4)),
    "class": lambda: Metric,
    "instance": lambda: Metric(k=5),
    "instance with arrays": lambda: Metric(weights=np.ones(3)),
    "instance with slots": lambda: Slotted(1),
    "partial": lambda: functools.partial(with_default, factor=4),
    "bound method": lambda: Metric(2).score,
    "built in": lambda: len,
    "object": object,
    "set": lambda: {"b", "a", "c"},
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_equal_things_have_equal_text(make):
    assert source_of(make()) == source_of(make())


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_no_address_is_in_the_text(make):
    assert " at 0x" not in source_of(make())


DIFFERENT = {
    "functions": (helper, uses_helper),
    "values closed over": (make_scaler(3), make_scaler(4)),
    "arrays closed over": (make_scaler(np.arange(4)), make_scaler(np.arange(1, 5))),
    "attributes": (Metric(k=1), Metric(k=5)),
    "nested attributes": (Metric(weights={"a": [1, (2, 3)]}), Metric(weights={"a": [1, (2, 4)]})),
    "array attributes": (Metric(weights=np.zeros(3)), Metric(weights=np.float64([0, 0, 1]))),
    "dtypes": (np.zeros(2, np.float32), np.zeros(2, np.float64)),
    "shapes": (np.zeros((2, 3)), np.zeros((3, 2))),
    "slots": (Slotted(1), Slotted(2)),
    "arguments of a partial": (
        functools.partial(with_default, factor=4),
        functools.partial(with_default, factor=5),
    ),
    "objects of a bound method": (Metric(1).score, Metric(2).score),
    "methods": (Metric(1).score, Metric(1).rate),
    "class and instance": (Metric, Metric()),
    "long texts": ("x" * 1000, "x" * 999 + "y"),
    "long lists": (list(range(1000)), [*range(999), 0]),
    "numbers and texts": (1, "1"),
    "kinds of mapping": ({"a": 1}, OrderedDict(a=1)),
    "lambdas": (lambda x: x + 1, lambda x: x + 2),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_different_things_have_different_text(one, other):
    assert source_of(one) != source_of(other)


MODULE = """
    SCALE = 2

    def helper(value):
        return value + {added}

    def evaluate(model, offset={offset}):
        return helper(model) * offset

    class Base:
        def rate(self, value):
            return value + {rate}

    class Metric(Base):
        pass
"""


def text_in_fresh_process(tmp_path, what, **changes):
    values = {"added": 1, "offset": 2, "rate": 3, **changes}
    (tmp_path / "user_code.py").write_text(textwrap.dedent(MODULE.format(**values)))
    script = f"import user_code; from inc_core.data.source import source_of; print({what})"
    root = Path(inc_core.__file__).parents[1]
    outcome = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "PYTHONPATH": f"{root}{os.pathsep}{tmp_path}",
            "PYTHONHASHSEED": "random",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return outcome.stdout


def test_text_is_the_same_in_each_process(tmp_path):
    what = "source_of((user_code.evaluate, user_code.Metric(), {'a', 'b', 'c', 'd'}))"
    first, second = (text_in_fresh_process(tmp_path, what) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("user_code.evaluate", {"offset": 3}),
        ("user_code.evaluate", {"added": 5}),
        ("user_code.Metric()", {"rate": 9}),
    ],
    ids=["a default", "a function that it calls", "a base class"],
)
def test_changed_source_is_noticed(tmp_path, what, change):
    before = text_in_fresh_process(tmp_path, f"source_of({what})")
    assert text_in_fresh_process(tmp_path, f"source_of({what})", **change) != before


def test_code_without_a_file_is_known_by_its_bytecode():
    def made(text):
        names = {}
        exec(text, names)
        return names["f"], names["C"]

    texts = [f"def f(x): return x + {n}\nclass C:\n def m(self): return {n}" for n in (1, 1, 2)]
    one, same, other = (tuple(map(source_of, made(text))) for text in texts)
    assert one == same
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_opaque_objects_closed_over_count_by_type_only():
    class Model:
        def __init__(self, weight):
            self.weight = weight

    assert source_of(make_scaler(Model(1))) == source_of(make_scaler(Model(2)))


def test_cycles_end():
    looped = Metric()
    looped.weights = [looped, looped]
    assert "Metric" in source_of(looped)


def test_objects_that_refuse_are_named_by_type():
    class Variant:
        dtype = "variant"
        shape = ()

        def numpy(self):
            raise RuntimeError("no")

    assert "Variant" in text_of(Variant())


def test_random_state_is_neither_read_nor_shown():
    rng = np.random.default_rng(0)
    before = source_of(rng)
    rng.random()
    assert source_of(rng) == before


def test_big_arrays_are_digested_by_blocks(monkeypatch):
    for limit in ("MAX_BYTES", "SAMPLED_BYTES"):
        monkeypatch.setattr(source, limit, 64 * 8)
    array = np.arange(10_000.0)
    changed = array.copy()
    changed[-1] = 0
    assert text_of(array) == text_of(array.copy())
    assert text_of(array) != text_of(changed)


def test_a_place_that_is_longer_than_the_gap_between_blocks_is_seen(monkeypatch):
    for limit in ("MAX_BYTES", "SAMPLED_BYTES"):
        monkeypatch.setattr(source, limit, source.BLOCKS * 8)
    array = np.arange(source.BLOCKS * 40.0)
    for start in range(0, len(array) - 50, 501):
        changed = array.copy()
        changed[start : start + 50] += 1
        assert text_of(changed) != text_of(array)
