"""Models in half precision: their linear layers are quantized, their results keep the dtype."""

from __future__ import annotations

import pytest
import torch

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32
from inc_torch.adaptor import TorchAdaptor


class Block(torch.nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.up, self.down = torch.nn.Linear(64, 128), torch.nn.Linear(128, 64, bias=False)
        self.to(dtype)

    def forward(self, x):
        x = x.to(self.up.weight.dtype)
        return x + self.down(torch.nn.functional.gelu(self.up(x)))


def quantized(dtype, approach, precision, algorithm="minmax"):
    torch.manual_seed(0)
    inputs = {"x": torch.randn(2, 6, 64).numpy()}
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach=approach, threads=1))
    model = adaptor.trace(adaptor.load(Block(dtype).eval()), inputs)
    ops = {
        one.op: next(
            (
                c
                for c in one.configs
                if c.precision == precision and c.weight.algorithm == algorithm
            ),
            FP32,
        )
        for one in adaptor.capabilities(model)
    }
    return adaptor, model, ops, inputs


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("approach", "precision", "error"),
    [("dynamic", "int8", 0.02), ("weight_only", "int8", 0.02), ("weight_only", "int4", 0.2)],
)
def test_linear_layers_are_quantized(dtype, approach, precision, error, tmp_path):
    adaptor, model, ops, inputs = quantized(dtype, approach, precision)
    assert FP32 not in ops.values()
    q_model = adaptor.quantize(model, Recipe(ops), Calibration.none())
    (result,) = q_model.flat(torch.from_numpy(inputs["x"]))
    assert result.dtype == dtype
    wanted, found = adaptor.predict(model, inputs), adaptor.predict(q_model, inputs)
    assert 0 < abs(found - wanted).max() < error * abs(wanted).max()
    adaptor.save(q_model, tmp_path)
    assert (adaptor.predict(adaptor.restore(tmp_path), inputs) == found).all()


@pytest.mark.parametrize("algorithm", ["gptq", "awq"])
def test_algorithms_that_read_inputs_keep_the_dtype(algorithm):
    adaptor, model, ops, inputs = quantized(torch.bfloat16, "weight_only", "int4", algorithm)
    assert FP32 not in ops.values()
    calibration = Calibration({}, 2, inputs=lambda: iter([inputs]))
    q_model = adaptor.quantize(model, Recipe(ops), calibration)
    (result,) = q_model.flat(torch.from_numpy(inputs["x"]))
    assert result.dtype == torch.bfloat16
    wanted = adaptor.predict(model, inputs)
    assert abs(result.float().numpy() - wanted).max() < 0.2 * abs(wanted).max()


def test_static_int8_says_that_it_needs_float32():
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="static", threads=1))
    inputs = {"x": torch.randn(2, 6, 64).numpy()}
    model = adaptor.trace(adaptor.load(Block(torch.bfloat16).eval()), inputs)
    notes = {one.op.name: one.note for one in adaptor.capabilities(model)}
    assert "its weight is bfloat16, not float32" in notes["up"]
