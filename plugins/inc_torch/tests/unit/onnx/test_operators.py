"""Each op that the export translates gives in ONNX Runtime what it gives in torch."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_torch.adaptor import TorchAdaptor

IMAGE, ROWS, IDS = (4, 8, 6, 10), (4, 5, 12), (4, 5)

ELEMENTWISE = {
    "addcmul": lambda x: torch.addcmul(x, x, x[:1], value=2.5) + torch.addcmul(x[:1], x, x),
    "logsumexp": lambda x: x.logsumexp(-1, keepdim=True) * x.sign(),
    "relu": F.relu, "relu6": F.relu6, "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.7),
    "hardswish": F.hardswish, "hardsigmoid": F.hardsigmoid, "silu": F.silu, "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "elu": lambda x: F.elu(x, 0.7),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "softplus": lambda x: F.softplus(x, 2.0),
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "erf": torch.erf, "exp": torch.exp,
    "log_of_square": lambda x: torch.log(torch.square(x) + 1), "sqrt": lambda x: (x * x).sqrt(),
    "rsqrt": lambda x: (x * x + 1).rsqrt(), "neg_abs": lambda x: -x.abs(),
    "floor_ceil_round": lambda x: x.floor() + x.ceil() * x.round(),
    "sin_cos": lambda x: x.sin() * x.cos(), "reciprocal": lambda x: (x * x + 1).reciprocal(),
    "add_alpha": lambda x: torch.add(x, x * x, alpha=3), "rsub": lambda x: 2 - x,
    "rsub_alpha": lambda x: torch.rsub(x, 2, alpha=3), "div": lambda x: x / 3,
    "floor_division": lambda x: x // 0.3,
    "truncated": lambda x: torch.div(x, 0.3, rounding_mode="trunc"),
    "pow": lambda x: x.abs() ** 1.5, "maximum": lambda x: torch.maximum(x, -x),
    "minimum": lambda x: torch.minimum(x, x * x),
    "comparisons": lambda x: ((x > 0.3) & (x <= 1)).logical_or(x == 2).to(torch.float32),
    "not": lambda x: torch.where((x < 0).logical_not(), x, 0.0) * (x != 0.1).float(),
    "masked": lambda x: x.masked_fill(x >= 0.5, -7.0), "clamp": lambda x: x.clamp(-0.4, 0.9),
    "clamp_min": lambda x: x.clamp_min(0.2), "mixed": lambda x: (x * 4).long() * 1.5 + 1,
    "softmax": lambda x: x.softmax(1), "log_softmax": lambda x: x.log_softmax(-1),
    "mean": lambda x: x.mean(2), "mean_keep": lambda x: x.mean((1, -1), keepdim=True),
    "sum": lambda x: x.sum(1), "amax": lambda x: x.amax(1) - x.amin(1),
    "argmax": lambda x: x.argmax(1), "cumsum": lambda x: x.cumsum(1),
    "like": lambda x: torch.ones_like(x) + torch.full_like(x, 3) + torch.zeros_like(x),
}  # fmt: skip

MOVING = {
    "view": lambda x: x.reshape(x.shape[0], -1, 2), "flatten": lambda x: x.flatten(1),
    "flatten_middle": lambda x: x.flatten(1, 2), "flatten_all": lambda x: x.flatten(),
    "unflatten": lambda x: x.unflatten(1, (2, -1)),
    "unflatten_last": lambda x: x.unflatten(-1, (5, 2)),
    "permute": lambda x: x.permute(0, 2, 3, 1), "transpose": lambda x: x.transpose(1, -1),
    "unsqueeze": lambda x: x.unsqueeze(-1), "squeeze": lambda x: x[:, :1].squeeze(1),
    "expand": lambda x: x[:, :1].expand(-1, 7, -1, -1), "repeat": lambda x: x.repeat(2, 1, 3, 1),
    "slice": lambda x: x[:, 1:-1:2], "select": lambda x: x[:, -2], "narrow": lambda x: x.narrow(2, 1, 3),
    "index_select": lambda x: x.index_select(1, torch.tensor([3, 0])),
    "index": lambda x: x[:, torch.tensor([[3, 0], [-1, 2]])],
    "index_places": lambda x: x[torch.tensor([[1], [-2]]), torch.tensor([5, 0, 2])],
    "gather": lambda x: x.gather(1, (x > 0).long()),
    "cat": lambda x: torch.cat([x, x * 2], 1), "stack": lambda x: torch.stack([x, -x], -1),
    "split": lambda x: x.split(3, 1)[1] * 2, "split_sizes": lambda x: x.split([6, 2], 1)[1],
    "chunk": lambda x: x.chunk(2, 1)[0] - x.chunk(2, 1)[1], "unbind": lambda x: x.unbind(1)[2],
    "contiguous": lambda x: x.transpose(1, 2).contiguous().clone(),
    "pad": lambda x: F.pad(x, (1, 2, 0, 3), value=1.5),
    "reflect": lambda x: F.pad(x, (1, 2, 0, 3), "reflect"),
    "edge": lambda x: F.pad(x, (2, 0, 1, 1), "replicate"),
    "arange": lambda x: x + torch.arange(x.shape[0])[:, None, None, None],
    "arange_step": lambda x: x * torch.arange(1, 21, 2),
    "filled": lambda x: x + torch.full((x.shape[0], 1, 1, 1), 2.5) + torch.ones(10) + torch.zeros(1),
    "new": lambda x: x.new_full((x.shape[0], 1, 1, 1), 2.5) * x + x.new_ones(10) - x.new_zeros(()),
    "triangles": lambda x: x.tril(1) - x.triu(), "flip": lambda x: x.flip(1, 3),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear_size": lambda x: F.interpolate(x, size=(9, 25), mode="bilinear", align_corners=True),
    "bicubic": lambda x: F.interpolate(x, size=(9, 25), mode="bicubic"),
    "roll": lambda x: torch.roll(x, shifts=(-3, 7), dims=(2, 1)) + torch.roll(x, (-1, 12), (0, -1)),
    "expand_as": lambda x: x[:, :1].expand_as(x),
    "unit_length": lambda x: F.normalize(x, dim=1) + torch.linalg.vector_norm(x, 1, 2, True),
    "nearest_size": lambda x: F.interpolate(x, size=(9, 25)),
    "sizes": lambda x: x.reshape(x.shape[0] * 2, x.shape[1] // 2, -1) / (x.shape[0] + 1),
}  # fmt: skip

LAYERS = {
    "conv1d": (nn.Conv1d(8, 6, 3, 2, 1), (4, 8, 11)),
    "conv2d": (nn.Conv2d(8, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=2), IMAGE),
    "conv2d_same": (nn.Conv2d(8, 6, (4, 3), padding="same"), IMAGE),
    "conv3d": (nn.Conv3d(2, 3, 3, padding=1), (4, 2, 5, 5, 5)),
    "transposed": (nn.ConvTranspose2d(8, 6, 3, 2, 1, 1, groups=2), IMAGE),
    "linear": (nn.Linear(12, 5), ROWS),
    "linear_rows": (nn.Linear(12, 5), (4, 12)),
    "linear_plain": (nn.Linear(12, 5, bias=False), ROWS),
    "layer_norm": (nn.LayerNorm((5, 12)), ROWS),
    "layer_norm_plain": (nn.LayerNorm(12, elementwise_affine=False), ROWS),
    "batch_norm": (nn.BatchNorm2d(8), IMAGE),
    "group_norm": (nn.GroupNorm(4, 8), IMAGE),
    "instance_norm": (nn.InstanceNorm2d(8), IMAGE),
    "instance_norm_affine": (nn.InstanceNorm2d(8, affine=True), IMAGE),
    "pools3d": (
        nn.Sequential(nn.MaxPool3d(2), nn.AvgPool3d(3, 1, 1), nn.AdaptiveAvgPool3d(1)),
        (4, 2, 6, 6, 6),
    ),
    "prelu": (nn.PReLU(8), IMAGE),
    "prelu_rows": (nn.Sequential(nn.PReLU(), nn.Mish(), nn.SELU()), ROWS),
    "max_pool": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    "max_pool_dilated": (nn.MaxPool2d((2, 3), 1, dilation=2), IMAGE),
    "average": (nn.AvgPool2d(3, 2, 1), IMAGE),
    "average_inside": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "global": (nn.AdaptiveAvgPool2d(1), IMAGE),
}


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Attention(nn.Module):
    def __init__(self, masked="none"):
        super().__init__()
        self.masked = masked

    def forward(self, x):
        heads = x.unflatten(-1, (3, 4)).transpose(1, 2)
        mask = {"float": x[:, None, :, :5], "bool": x[:, None, :, :5] < 1}.get(self.masked)
        return F.scaled_dot_product_attention(
            heads, heads * 2, heads + 1, mask, is_causal=self.masked == "causal"
        )


def exported(module, x, tmp_path):
    adaptor = TorchAdaptor(AdaptorContext("pytorch"))
    model = adaptor.trace(adaptor.load(module.eval()), x)
    assert model.facts.traced
    adaptor.export(model, tmp_path / "model.onnx", "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    (name,) = (one.name for one in session.get_inputs())
    return lambda inputs: session.run(None, {name: inputs})[0]


def check(module, shape, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=shape).astype(np.float32)
    run = exported(module, x, tmp_path)
    for batch in (x, rng.normal(size=(7, *shape[1:])).astype(np.float32)):
        with torch.no_grad():
            expected = module(torch.from_numpy(batch)).numpy()
        found = run(batch)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(name, tmp_path):
    check(Function(ELEMENTWISE[name]), ROWS, tmp_path)


@pytest.mark.parametrize("name", MOVING)
def test_moving(name, tmp_path):
    check(Function(MOVING[name]), IMAGE, tmp_path)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, tmp_path):
    check(*LAYERS[name], tmp_path)


@pytest.mark.parametrize("masked", ["none", "float", "bool", "causal"])
def test_attention(masked, tmp_path):
    check(Attention(masked), ROWS, tmp_path)


def test_products(tmp_path):
    check(Function(lambda x: torch.baddbmm(x @ x.mT, x, x.mT, beta=2, alpha=3)), ROWS, tmp_path)
    check(Function(lambda x: torch.addmm(x, x, x.mT @ x, alpha=2)), (4, 12), tmp_path)
