"""A plugin that was installed on a machine without a C++ compiler: it quantizes, slower, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_build import NO_COMPILER, plugin_copy

QUANTIZE = """
import logging, pathlib, sys
import numpy as np
import inc_core
from inc_core import Quantization

def check(plugin, framework, source, x, expected, **recipes):
    module = __import__(plugin)
    assert pathlib.Path(module.__file__).is_relative_to(sys.argv[1]), module.__file__
    quantizer = Quantization({
        "model": {"framework": framework},
        "quantization": {"approach": "dynamic", "recipes": recipes},
        "tuning": {"exit_policy": {"performance_only": True}},
    })
    quantizer.model = source
    tuned = quantizer.fit()
    assert tuned.recipe.precisions()["int8"] == 1
    tuned.save(sys.argv[2])
    for model in (tuned, inc_core.load(sys.argv[2])):
        error = np.abs(model.predict(x) - expected).max()
        assert error < 0.05 * np.abs(expected).max(), error
    print(*(decision.reason for decision in tuned.ledger), sep="\\n")

weight = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
x = np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)
logging.basicConfig()
"""
WITH_TORCH = """
import torch
layer = torch.nn.Linear(32, 64, bias=False)
layer.weight.data = torch.from_numpy(weight)
program = torch.export.export(torch.nn.Sequential(layer).eval(), (torch.from_numpy(x),))
check("inc_torch", "pytorch", program, x, x @ weight.T)
"""
WITH_ONNX = """
import onnx
from onnx import helper, numpy_helper
shapes = [helper.make_tensor_value_info(n, 1, ["b", size]) for n, size in (("x", 32), ("y", 64))]
node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
graph = helper.make_graph(
    [node], "g", shapes[:1], shapes[1:], [numpy_helper.from_array(weight.T.copy(), "w")]
)
proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
check("inc_onnx", "onnxruntime", proto, x, x @ weight.T, **RECIPES)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install a plugin by name, without a compiler, into a folder of its own."""

    def install(plugin: str) -> Path:
        folder = tmp_path_factory.mktemp(plugin)
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
        subprocess.run(
            [*pip, "--no-index", "--target", "site", str(plugin_copy(plugin, folder))],
            cwd=folder,
            env={**environment(), **NO_COMPILER},
            capture_output=True,
            check=True,
        )
        return folder / "site"

    return install


def environment() -> dict[str, str]:
    ours = ("INC_REQUIRE_NATIVE", "INC_KERNELS", "LD_PRELOAD")
    return {name: value for name, value in os.environ.items() if name not in ours}


def run(code: str, site: Path, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", QUANTIZE + code, str(site), str(tmp_path / "out")],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(site), **variables},
        capture_output=True,
        text=True,
    )


def test_pytorch_runs_the_reference_warns_once_and_the_ledger_says_so(installed, tmp_path):
    pytest.importorskip("torch")
    site = installed("inc_torch")
    done = run(WITH_TORCH, site, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("kernels run in plain torch, slower") == 1
    assert "install a C++ compiler, then inc-torch again" in done.stderr
    assert "int8 by inc's kernels, reference" in done.stdout
    demanded = run(WITH_TORCH, site, tmp_path, INC_KERNELS="native")
    assert demanded.returncode != 0
    assert "INC_KERNELS='native' cannot be met: the native library was not built" in demanded.stderr


def test_onnx_runtime_runs_its_own_ops_and_asking_for_ours_names_the_remedy(installed, tmp_path):
    pytest.importorskip("onnxruntime")
    site = installed("inc_onnx")
    done = run(WITH_ONNX.replace("RECIPES", "{}"), site, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "by inc's kernels" not in done.stdout
    asked = run(WITH_ONNX.replace("RECIPES", "{'native_kernels': True}"), site, tmp_path)
    assert asked.returncode != 0
    assert "native library was not built when inc-onnx was installed" in asked.stderr
    assert "install a C++ compiler" in asked.stderr
