"""Modules that run their own code: those that write to their state, and that read weights of layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from inc_core import Quantization, common
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_torch.adaptor import TorchAdaptor


class Untraceable(nn.Module):
    """Python decides by data."""

    def forward(self, x):
        return self.compute(x if x.sum() > -1e9 else -x)


class Counting(Untraceable):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(16))
        self.register_buffer("latest", torch.zeros(16), persistent=False)

    def compute(self, x):
        h = self.first(x)
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * h.mean(0)
        self.latest.copy_(h[0])
        return self.last(h.relu())


class AsksForDtype(Untraceable):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

    def compute(self, x):
        assert self.last.in_features == 16
        return self.last(self.first(x).relu().to(self.last.weight.dtype))


class ReadsNumbers(AsksForDtype):
    def compute(self, x):
        return self.last(self.first(x).relu()) + F.linear(x, self.first.weight).mean()


class Encoders(Untraceable):
    """Torch's own encoder has a fused form that reads the weights of its layers."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def compute(self, x):
        return self.layers(x[:, None])[:, 0]


class Rows:
    def __len__(self):
        return 16

    def __getitem__(self, index):
        return np.random.default_rng(index).normal(size=8).astype(np.float32), 0


def fit(module, tmp_path, approach="static"):
    quantizer = Quantization(
        {
            "quantization": {"approach": approach},
            "tuning": {"speed_gate": False, "workspace": {"path": str(tmp_path / "workspace")}},
        }
    )
    quantizer.model = module
    quantizer.calib_dataloader = common.DataLoader(Rows(), batch_size=8)
    x = torch.from_numpy(np.stack([Rows()[i][0] for i in range(16)]))

    def evaluate(model):
        with torch.no_grad():
            found, wanted = model(x), copy.deepcopy(module)(x)
        return float((found - wanted).abs().mean() < 0.1 * wanted.abs().mean())

    quantizer.eval_func = evaluate
    return quantizer.fit()


@pytest.mark.parametrize(
    ("make", "quantized"), [(Counting, 2), (AsksForDtype, 2), (ReadsNumbers, 1), (Encoders, 4)]
)
@pytest.mark.parametrize("approach", ["static", "dynamic"])
def test_it_is_quantized_layer_by_layer(tmp_path, make, quantized, approach):
    torch.manual_seed(0)
    tuned = fit(make().eval(), tmp_path, approach)
    assert tuned.recipe.precisions()["int8"] == quantized
    copy.deepcopy(tuned.model)


def test_each_model_begins_with_the_state_that_was_given(tmp_path):
    module = Counting().eval()
    tuned = fit(module, tmp_path)
    assert module.calls == 0
    kept = tuned.model.state_dict()["body.calls"].clone()
    tuned.model(torch.ones(2, 8))
    assert tuned.model.state_dict()["body.calls"] == kept + 1


def test_a_layer_whose_numbers_are_read_says_why_it_stays_float(tmp_path):
    assert "reads its weight" in fit(ReadsNumbers().eval(), tmp_path).report()


def test_a_weight_that_nobody_was_seen_to_read_is_refused_by_name():
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="dynamic"))
    from inc_core.quant.calibrator import Calibration
    from inc_core.quant.space import TuningSpace

    model = adaptor.load(ReadsNumbers())  # never run on data
    recipe = TuningSpace(tuple(adaptor.capabilities(model))).default()
    quantized = adaptor.quantize(model, recipe, Calibration.none())
    with pytest.raises(Exception, match=r"reads 'first\.weight'"):
        quantized(torch.ones(2, 8))
