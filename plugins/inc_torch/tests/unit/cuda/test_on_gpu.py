"""The Triton kernels and whole models on a GPU, where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32
from inc_torch.adaptor import TorchAdaptor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")

HERE = Path(__file__).parent


def test_numbers_are_those_of_the_reference():
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    script = [sys.executable, str(HERE / "interpreted.py")]
    run = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert len(found) > 100 and not {name: error for name, error in found.items() if error}


class Layers(torch.nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.first = torch.nn.Linear(256, 512, dtype=dtype)
        self.second = torch.nn.Linear(512, 128, dtype=dtype)

    def forward(self, x):
        x = torch.nn.functional.gelu(self.first(x.to(self.first.weight.dtype)))
        return self.second(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("approach", "dtype_of_weight"),
    [
        ("dynamic", "int8"),
        ("dynamic", "fp8_e4m3"),
        ("weight_only", "int4"),
        ("weight_only", "int8"),
    ],
)
def test_models_give_on_the_gpu_what_they_give_on_the_cpu(dtype, approach, dtype_of_weight):
    torch.manual_seed(0)
    inputs = {"x": torch.randn(3, 5, 256).numpy()}
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach=approach, device="gpu"))
    model = adaptor.trace(adaptor.load(Layers(dtype).eval()), inputs)
    ops = {
        one.op: next(
            (c for c in one.configs if c.weight and c.weight.dtype == dtype_of_weight), FP32
        )
        for one in adaptor.capabilities(model)
    }
    assert FP32 not in ops.values()
    q_model = adaptor.quantize(model, Recipe(ops), Calibration.none())
    found = adaptor.predict(q_model, inputs)
    with torch.no_grad():
        (wanted,) = q_model.flat(torch.from_numpy(inputs["x"]))
    error = abs(found - wanted.float().numpy()).max() / wanted.abs().max().item()
    assert error < 2e-2
