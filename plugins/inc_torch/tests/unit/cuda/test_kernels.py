"""The Triton kernels without a GPU: their numbers by the interpreter, their code by the compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed (pip install 'inc-torch[cuda]')")

HERE = Path(__file__).parent


def results_of(script, tmp_path_factory, **environment):
    # a cache of its own: another user's or version's must not answer
    cache = str(tmp_path_factory.mktemp("triton"))
    run = subprocess.run(
        [sys.executable, str(HERE / script)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TRITON_CACHE_DIR": cache, **environment},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="session")
def interpreted(tmp_path_factory):
    return results_of("interpreted.py", tmp_path_factory, TRITON_INTERPRET="1")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    return results_of("compiled.py", tmp_path_factory, TRITON_INTERPRET="0")


@pytest.mark.parametrize("what", ["rows", "int8", "int4", "broken"])
def test_numbers_are_those_of_the_reference(what, interpreted):
    mine = {name: error for name, error in interpreted.items() if name.startswith(what)}
    assert len(mine) >= 3
    assert not {name: error for name, error in mine.items() if error}


@pytest.mark.slow
@pytest.mark.parametrize("gpu", ["sm_80", "sm_90", "sm_100"])
def test_every_kernel_compiles(gpu, compiled):
    mine = {name: found for name, found in compiled.items() if name.endswith(gpu)}
    assert len(mine) == (19 if gpu == "sm_80" else 20)  # sm_80 has no float8
    assert not {name: found["error"] for name, found in mine.items() if "error" in found}
    assert all(found["cubin"] for found in mine.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpu", "units"),
    [
        ("sm_80", {"mma.sync"}),
        ("sm_90", {"mma.sync", "wgmma"}),
        ("sm_100", {"mma.sync", "tcgen05"}),
    ],
)
def test_products_run_on_matrix_units(gpu, units, compiled):
    products = {
        name: set(found["units"])
        for name, found in compiled.items()
        if name.endswith(gpu) and name.startswith(("int8", "int4, fp16", "int4, bf16"))
    }
    assert all(found & units for found in products.values()), products
