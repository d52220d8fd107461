"""Whole nets through ``lower``, against the float graph on fake-quantized operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from inc_core.errors import QuantizationError
from inc_core.quant.qparams import QParams
from inc_core.testing.oracle import snr_db
from inc_torch.static import StaticConfig, lower, tensors_of
from inc_torch.static.packed import pack
from inc_torch.static.region import with_regions

# roundings that fall the other way are all that may differ: one step of 256 here and there
CLOSE_DB = 35.0


class Attention(nn.Module):
    """Query, key and value of one tensor, in heads."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(24, 24) for _ in range(3))
        self.out = nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        heads = [part(x).unflatten(-1, (4, 6)).transpose(1, 2) for part in self.parts]
        return self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


class Net(nn.Module):
    """A net from a function and the modules that it uses."""

    def __init__(self, function: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def conv(fan_in: int, fan_out: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, kernel, **{"padding": kernel // 2, **options})


def image(channels: int = 3, size: int = 15, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, size, size + 2)


def sandwich(middle: Callable[[Tensor], Tensor], fan_in: int = 8) -> nn.Module:
    """Return a net with ``middle`` between two convolutions."""
    return Net(
        lambda net, x: net.last(middle(net.first(x))), first=conv(3, 8), last=conv(fan_in, 5)
    )


def transposed(fan_in: int, fan_out: int) -> nn.Linear:
    """A linear whose weight lies in memory the other way round."""
    layer = nn.Linear(fan_in, fan_out)
    layer.weight = nn.Parameter(layer.weight.detach().t().contiguous().t())
    return layer


NETS: dict[str, tuple[nn.Module, tuple[Tensor, ...], list[str]]] = {
    "relu": (sandwich(F.relu), (image(),), ["quantize", "conv", "conv"]),
    "relu6": (sandwich(F.relu6), (image(),), ["quantize", "conv", "conv"]),
    "hardswish": (sandwich(F.hardswish), (image(),), ["quantize", "conv", "pad", "conv"]),
    "silu": (sandwich(F.silu), (image(),), ["quantize", "conv", "pad", "conv"]),
    "hardtanh with a negative side": (
        sandwich(lambda x: F.hardtanh(x, -0.5, 0.5)),
        (image(),),
        ["quantize", "conv", "pad", "conv"],
    ),
    "an activation without kernel stays float": (
        sandwich(torch.sin),
        (image(),),
        ["quantize", "conv", "sin", "quantize", "pad", "conv"],
    ),
    "maximum": (
        sandwich(lambda x: F.max_pool2d(F.relu(x), 3, 2, 1)),
        (image(size=31),),
        ["quantize", "conv", "max_pool2d", "conv"],
    ),
    "average": (
        sandwich(lambda x: F.avg_pool2d(F.relu(x), 3, 2, 1)),
        (image(),),
        ["quantize", "conv", "conv", "conv"],
    ),
    "concatenation": (
        Net(
            lambda net, x: net.last(torch.cat([F.relu(net.a(x)), net.b(x)], 1)),
            a=conv(3, 8),
            b=conv(3, 4, 1),
            last=conv(12, 5),
        ),
        (image(),),
        ["quantize", "conv", "conv", "cat", "pad", "conv"],
    ),
    "shapes": (
        sandwich(lambda x: x.transpose(2, 3)[:, 2:6].contiguous(), 4),
        (image(),),
        ["quantize", "conv", "transpose", "slice", "pad", "conv"],
    ),
    "padding of its own": (
        sandwich(lambda x: F.pad(F.relu(x), (1, 2, 0, 3))),
        (image(),),
        ["quantize", "conv", "pad", "conv"],
    ),
    "residual": (
        Net(
            lambda net, x: net.last(F.relu(net.b(F.relu(net.a(y := F.relu(net.first(x))))) + y)),
            first=conv(3, 8),
            a=conv(8, 8),
            b=conv(8, 8),
            last=conv(8, 5, 1),
        ),
        (image(),),
        ["quantize", "conv", "conv", "conv_add", "conv"],
    ),
    "linear residual with a projection": (
        Net(
            lambda net, x: net.last(net.b(F.relu6(net.a(x))) + net.down(x)),
            a=conv(3, 8, stride=2),
            b=conv(8, 8, groups=8),
            down=conv(3, 8, 1, stride=2),
            last=conv(8, 5, 1),
        ),
        (image(),),
        ["quantize", "conv", "conv", "conv_add", "conv"],
    ),
    "an addition of what no convolution gives": (
        Net(
            lambda net, x: net.last(F.relu(F.max_pool2d(y := net.first(x), 3, 1, 1) + y)),
            first=conv(3, 8),
            last=conv(8, 5),
        ),
        (image(),),
        ["quantize", "conv", "max_pool2d", "add", "conv"],
    ),
    "classifier": (
        Net(
            lambda net, x: net.last(F.adaptive_avg_pool2d(F.relu(net.first(x)), 1).flatten(1)),
            first=conv(3, 8, stride=2),
            last=nn.Linear(8, 10),
        ),
        (image(),),
        ["quantize", "conv", "mean", "quantize", "flatten", "linear"],
    ),
    "mean of an image": (
        Net(
            lambda net, x: net.last(net.first(x).mean((2, 3))),
            first=conv(3, 8),
            last=nn.Linear(8, 4),
        ),
        (image(),),
        ["quantize", "conv", "mean", "quantize", "linear"],
    ),
    "transformer block": (
        Net(
            lambda net, x: net.norm(net.down(F.gelu(net.up(x))) + x),
            up=nn.Linear(24, 50),
            down=nn.Linear(50, 24),
            norm=nn.LayerNorm(24),
        ),
        (torch.randn(2, 7, 24),),
        ["quantize", "linear", "linear_add", "layer_norm"],
    ),
    "attention": (
        Attention(),
        (torch.randn(2, 7, 24),),
        [
            *("quantize", *["linear", "unflatten", "transpose"] * 3),
            *("scaled_dot_product_attention", "transpose", "flatten", "quantize", "linear"),
        ],
    ),
    "one dimension": (
        Net(
            lambda net, x: net.last(F.relu(net.first(x))),
            first=nn.Conv1d(6, 8, 3, stride=2, padding=1),
            last=nn.Conv1d(8, 4, 3, dilation=2),
        ),
        (torch.randn(2, 6, 33),),
        ["quantize", "conv", "conv"],
    ),
    "a weight that lies transposed": (
        Net(
            lambda net, x: net.last(F.relu(net.first(x))),
            first=transposed(24, 16),
            last=transposed(16, 8),
        ),
        (torch.randn(5, 24),),
        ["quantize", "linear", "linear"],
    ),
    "two readers": (
        Net(
            lambda net, x: (net.a(y := F.relu(net.first(x))), y.exp(), net.b(y)),
            first=conv(3, 8),
            a=conv(8, 4),
            b=conv(8, 4),
        ),
        (image(),),
        ["quantize", "conv", "quantize", "conv", "exp", "conv"],
    ),
}


def no_plain_linear_sums(node: Any) -> bool:
    """Leave additions of linears float, as a transformer wants them."""
    return not (str(node.target).startswith("aten.add") and "linear" in str(node.args))


@pytest.mark.parametrize("case", NETS.values(), ids=NETS.keys())
def test_net_equals_the_oracle_and_is_fused(lab: Any, case: tuple) -> None:
    net, inputs, expected = case
    module = lab.export(net, *inputs)
    decisions, qparams = lab.decide(module, *inputs, only=no_plain_linear_sums)
    lowered = lower(module, decisions, qparams)
    outputs, oracle = lowered(*inputs), lab.oracle(module, decisions, qparams).run(*inputs)
    for one, other in zip(as_tuple(outputs), as_tuple(oracle), strict=True):
        assert snr_db(other.numpy(), one.numpy()) > CLOSE_DB
    assert lab.called(lowered) == expected
    for form in (pack(lowered), pack(with_regions(lowered))):
        for one, other in zip(as_tuple(form(*inputs)), as_tuple(outputs), strict=True):
            assert torch.equal(one, other)


def as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def test_linears_over_one_tensor_become_one(lab: Any) -> None:
    net, inputs, _ = NETS["attention"]
    called = lab.called(pack(lab.lower(net, *inputs)))
    assert called.count("linear") + called.count("static_linear") == 2


def test_nothing_decided_gives_the_float_outputs(lab: Any) -> None:
    net, inputs, _ = NETS["residual"]
    module = lab.export(net, *inputs)
    assert torch.equal(lower(module, {}, {})(*inputs), module(*inputs))


def test_ops_left_out_stay_float(lab: Any) -> None:
    net, inputs, _ = NETS["relu"]
    lowered = lab.lower(net, *inputs, only=lambda node: node.name == "conv2d_1")
    assert lab.called(lowered) == ["conv2d", "relu", "quantize", "conv"]


def test_unequal_batches_run_through_a_dynamic_graph(lab: Any) -> None:
    net, inputs, _ = NETS["classifier"]
    lowered = lab.lower(net, *inputs, dynamic=True)
    for batch in (1, 5):
        x = image(batch=batch)
        whole = lowered(x)
        assert torch.equal(whole[:1], lowered(x[:1]))


def test_weights_of_the_source_are_untouched_and_shared_where_float(lab: Any) -> None:
    net, inputs, _ = NETS["classifier"]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    lowered = lab.lower(net, *inputs)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    state = lowered.state_dict()
    assert state["last.weight_int8"].dtype == torch.int8
    assert state["last.bias"].data_ptr() == net.last.bias.data_ptr()
    assert "last.weight" not in state


def test_a_weight_used_twice_is_stored_once(lab: Any) -> None:
    net = Net(lambda net, x: net.one(F.relu(net.one(x))), one=conv(4, 4))
    state = lab.lower(net, image(4)).state_dict()
    assert [name for name in state if name.endswith("_int8")] == ["one.weight_int8"]


@pytest.mark.parametrize("zero_point", [0, 128, 255])
def test_zero_points_go_into_the_bias(lab: Any, zero_point: int) -> None:
    """Images of -1 padded with 0 tell at once if padding, weights' sums or zero points are wrong."""
    net = Net(
        lambda net, x: net.last(net.first(x)), first=conv(3, 4, bias=False), last=conv(4, 4, 5)
    )
    x = image() * 0.1 + {0: 3.0, 128: 0.0, 255: -3.0}[zero_point]
    module = lab.export(net, x)
    decisions, qparams = lab.decide(module, x)
    outputs = lower(module, decisions, qparams)(x)
    assert snr_db(lab.oracle(module, decisions, qparams).run(x).numpy(), outputs.numpy()) > CLOSE_DB
    assert int(qparams["x"].zero_point) == pytest.approx(zero_point, abs=20)


def test_needed_tensors_are_named_by_where_their_numbers_come_from(lab: Any) -> None:
    net, inputs, _ = NETS["maximum"]
    module = lab.export(net, *inputs)
    needed = tensors_of(module, ["conv2d", "conv2d_1"])
    assert needed == {"conv2d": ("x", "relu"), "conv2d_1": ("relu", "conv2d_1")}


def make(dtype: str, scale: Any = 0.1, zero_point: Any = 0, **options: Any) -> QParams:
    return QParams(
        np.asarray(scale, np.float32), np.asarray(zero_point, np.int32), dtype, **options
    )


S8 = make("int8", np.full(8, 0.01), np.zeros(8), axis=0)
REFUSED: dict[str, tuple[dict[str, StaticConfig], dict[str, QParams], str]] = {
    "unknown node": ({"conv2": StaticConfig(S8)}, {}, "no such node.*Did you mean 'conv2d'"),
    "op without kernel": ({"relu": StaticConfig()}, {}, "no static int8 kernel"),
    "no range": ({"conv2d": StaticConfig(S8)}, {}, "no quantization of the tensor 'x'"),
    "signed activation": (
        {"conv2d": StaticConfig(S8)},
        {"x": make("int8")},
        "uint8 activations only.*thousands of times",
    ),
    "activation per channel": (
        {"conv2d": StaticConfig(S8)},
        {"x": make("uint8", np.ones(3), np.zeros(3), axis=1)},
        "one scale per tensor",
    ),
    "no weight": ({"conv2d": StaticConfig()}, {"x": make("uint8")}, "needs its quantization"),
    "asymmetric weight": (
        {"conv2d": StaticConfig(make("int8", 0.1, 3))},
        {"x": make("uint8")},
        "signed symmetric",
    ),
    "weight along the wrong axis": (
        {"conv2d": StaticConfig(make("int8", np.ones(3), np.zeros(3), axis=1))},
        {"x": make("uint8")},
        "one per output channel",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_impossible_decisions_are_refused_in_words(lab: Any, case: tuple) -> None:
    decisions, qparams, message = case
    module = lab.export(sandwich(F.relu), image())
    with pytest.raises(QuantizationError, match=f"(?s){message}"):
        lower(module, decisions, qparams)
