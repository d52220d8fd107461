"""Code that no package holds travels; what is installed is named."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys

import pytest

from inc_core.testing.toy import ToyAccuracy
from inc_core.tuning.runner.portable import dump_portable

pytest.importorskip("cloudpickle")

OWN = """
import numpy as np
from inc_core.testing.toy import ToyAccuracy

SCALE = 3

def scaled(value):
    return np.multiply(value, SCALE)

class Own(ToyAccuracy):
    def result(self):
        return scaled(2)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module that other processes cannot import."""
    (tmp_path / "own_metric.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    import own_metric

    yield own_metric
    del sys.modules["own_metric"]


def nothing(value):
    return None


def test_the_users_own_code_travels_and_is_named(own, tmp_path):
    file = tmp_path / "own.pickle"
    with file.open("wb") as stream:
        sent = dump_portable(own.Own(), stream, nothing)
    assert {"own_metric.Own", "own_metric.scaled"} <= sent
    script = f"import pickle; print(pickle.load(open({str(file)!r}, 'rb')).result())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "6\n", done.stderr


def test_a_lambda_travels():
    stream = io.BytesIO()
    assert dump_portable(lambda: 7, stream, nothing)
    assert pickle.loads(stream.getvalue())() == 7


def test_what_is_installed_is_named_and_does_not():
    stream = io.BytesIO()
    assert dump_portable(ToyAccuracy, stream, nothing) == set()
    assert pickle.loads(stream.getvalue()) is ToyAccuracy


def test_nothing_is_registered_afterwards(own):
    import cloudpickle

    dump_portable(own.Own(), io.BytesIO(), nothing)
    assert "own_metric" not in cloudpickle.list_registry_pickle_by_value()
