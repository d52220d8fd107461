"""Placement on devices: what can be shown without a GPU, on torch's device without numbers."""

from __future__ import annotations

import pytest
import torch
from models import Encoder, Moody, program, seeded
from torch import nn

from inc_core.errors import ConfigError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.recipe import Recipe
from inc_core.quant.spec import FP32
from inc_torch.adaptor import TorchAdaptor
from inc_torch.devices import moved
from inc_torch.op_table import op_table


class Positions(nn.Module):
    """Makes tensors of its own while it runs, as position ids are made."""

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(12, 8), nn.Linear(8, 3)

    def forward(self, x):
        places = torch.arange(x.shape[1], device=x.device)
        return self.head(x + self.table(places))


def quantized(source, inputs, approach, precision):
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach=approach, threads=1))
    model = adaptor.trace(adaptor.load(source), inputs)
    ops = {
        one.op: next((c for c in one.configs if c.precision == precision), FP32)
        for one in adaptor.capabilities(model)
    }
    return adaptor.quantize(model, Recipe(ops), Calibration.none())


@pytest.mark.parametrize(
    ("approach", "precision"), [("dynamic", "int8"), ("weight_only", "int4"), ("dynamic", "fp32")]
)
def test_everything_a_moved_model_reads_is_on_its_device(approach, precision):
    inputs = {"x": torch.randn(2, 6, 8).numpy()}
    model = quantized(seeded(Positions), inputs, approach, precision)
    there = moved(model, "meta")
    # an operator whose arguments lie on two devices fails
    (output,) = there.flat(torch.empty(2, 6, 8, device="meta"))
    assert output.device.type == "meta" and output.shape == (2, 6, 3)
    assert {tensor.device.type for tensor in there.state_dict().values()} == {"meta"}


def test_the_model_itself_stays_where_it_is(sentences):
    model = quantized(program(Encoder, (2, 10), (2, 10)), sentences[0], "dynamic", "int8")
    moved(model, "meta")
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


def test_untraced_models_move_too(images):
    model = quantized(seeded(Moody), images[0], "dynamic", "int8")
    there = moved(model, "meta")
    assert {tensor.device.type for tensor in there.state_dict().values()} == {"meta"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named():
    with pytest.raises(ConfigError, match=r"device: gpu, but torch .* finds no GPU"):
        TorchAdaptor(AdaptorContext("pytorch", approach="dynamic", device="gpu"))


def test_static_has_no_kernels_on_a_gpu():
    with pytest.raises(
        ConfigError, match=r"static has no kernels on device: gpu; there are dynamic"
    ):
        op_table(AdaptorContext("pytorch", approach="static", device="gpu"))


@pytest.mark.parametrize("approach", ["dynamic", "auto"])
def test_a_gpu_offers_int8_and_float8(approach):
    table = op_table(AdaptorContext("pytorch", approach=approach, device="gpu"))
    dtypes = {row.config.weight.dtype for row in table if row.config.weight is not None}
    assert dtypes == {"int8", "fp8_e4m3"}


def test_float8_models_are_saved_and_restored(tmp_path, monkeypatch, sentences):
    # the numbers are the GPU's, multiplied in float32: only speed needs the device
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="dynamic", threads=1))
    adaptor._table = op_table(AdaptorContext("pytorch", approach="dynamic", device="gpu"))
    model = adaptor.trace(adaptor.load(program(Encoder, (2, 10), (2, 10))), sentences[0])
    ops = {
        one.op: next((c for c in one.configs if c.weight and c.weight.dtype == "fp8_e4m3"), FP32)
        for one in adaptor.capabilities(model)
    }
    q_model = adaptor.quantize(model, Recipe(ops), Calibration.none())
    assert set(adaptor.executed(q_model).values()) == {"fp8_e4m3", "fp32"}
    wanted = adaptor.predict(model, sentences[0])[0]
    found = adaptor.predict(q_model, sentences[0])[0]
    assert abs(found - wanted).max() < 0.1 * abs(wanted).max()
    adaptor.save(q_model, tmp_path)
    restored = adaptor.predict(adaptor.restore(tmp_path), sentences[0])[0]
    assert (restored == found).all()
