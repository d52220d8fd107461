"""Recording plain modules: the graph that ``torch.export`` gives, or a refusal."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from models import Encoder, ResidualNet, Tokens, TwoTowers, seeded
from torch import Tensor, nn

from inc_core.errors import UnsupportedModelError
from inc_torch.capture import capture, graph_of_program
from inc_torch.naming import assign_names, op_name
from inc_torch.normalize import normalize
from inc_torch.recording import NotPlainError, record
from inc_torch.signature import Signature


class Calls(nn.Module):
    """Runs any function of its layers and input."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.fc, self.norm, self.function = nn.Linear(6, 6), nn.LayerNorm(6), function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Squeezed(nn.Module):
    """A convolution, scaled by what a small net makes of its mean; and functions rather than layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding="same", bias=False), nn.BatchNorm2d(8)
        self.less, self.more = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.mean, self.drop, self.act = nn.AdaptiveAvgPool2d(1), nn.Dropout(), nn.Hardswish()

    def forward(self, image: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(image)))
        y = y * torch.sigmoid(self.more(F.silu(self.less(self.mean(y)))))
        first, second = y.chunk(2, 1)
        y = F.pad(F.relu6(torch.cat([second, first], 1)), (1, 1))
        y += 1
        return self.drop(F.avg_pool2d(y, 2)).mean([2, 3]).softmax(-1)


class Attention(nn.Module):
    """Attention as vision transformers write it: sizes, one product for all three, and unbinding."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 4, d // 4).permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q @ k.transpose(-2, -1)) * 0.5).softmax(dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, n, d)), x[:, 0, None]


class Shared(nn.Module):
    """One layer in two places, and one weight of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(torch.relu(self.a(x))))


def images(*size):
    return {"image": torch.randn(*(size or (4, 3, 16, 16)))}


IDS = torch.randint(0, 50, (4, 10))
PLAIN = {
    "residual": (ResidualNet, images()),
    "two inputs": (TwoTowers, {"a": torch.randn(8, 12), "b": torch.randn(8, 6)}),
    "ids and mask": (Encoder, {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}),
    "squeezed": (Squeezed, images()),
    "attention": (Attention, {"x": torch.randn(3, 9, 16)}),
    "shared": (Shared, {"x": torch.randn(3, 6)}),
}


def recorded(module, inputs, *, lengths=False):
    dims = {name: range(t.dim() if lengths else 1) for name, t in inputs.items()}
    draft, signature = record(module.eval(), inputs, dims)
    graph = normalize(draft)
    assign_names(graph)
    return graph, signature


def traced_sizes(signature):
    """Return the signature that ``torch.export`` knows: it was not asked about sizes of images."""
    return replace(signature, inputs=tuple(replace(one, untied=()) for one in signature.inputs))


def exported(module, inputs, *, lengths=False):
    auto = torch.export.Dim.AUTO
    shapes = {
        name: dict.fromkeys(range(t.dim() if lengths else 1), auto) for name, t in inputs.items()
    }
    with torch.no_grad():
        program = torch.export.export(module.eval(), (), inputs, dynamic_shapes=shapes)
    return graph_of_program(program)


def ops(graph):
    """Return what computes tensors, in order; without sizes, and slices that take everything."""
    found = []
    for node in graph.graph.nodes:
        everything = node.target is torch.ops.aten.slice.Tensor and node.args[3] == sys.maxsize
        if node.op == "call_function" and not everything and "sym_size" not in str(node.target):
            found.append((str(node.target), op_name(node).split("_")[0]))
    return found


@pytest.mark.parametrize("name", PLAIN)
def test_a_recorded_graph_is_the_exported_one(name):
    factory, inputs = PLAIN[name]
    module, lengths = seeded(factory), name == "ids and mask"
    graph, signature = recorded(module, inputs, lengths=lengths)
    reference, expected = exported(module, inputs, lengths=lengths)
    assert ops(graph) == ops(reference)
    assert traced_sizes(signature) == expected
    for more in (inputs, {key: torch.cat([t, t, t]) for key, t in inputs.items()}):
        values = tuple(more.values())
        torch.testing.assert_close(graph(*values), reference(*values), rtol=1e-4, atol=1e-5)


def test_a_batch_that_the_code_reads_stays_open():
    graph, signature = recorded(seeded(Tokens), images(4, 3, 8, 8))
    assert signature.inputs[0].shape == (None, 3, 8, 8)
    more = images(7, 3, 8, 8)["image"]
    torch.testing.assert_close(graph(more)[0], seeded(Tokens)(more), rtol=1e-4, atol=1e-5)


def test_multiples_of_a_size_follow_it():
    graph, _ = recorded(Calls(lambda m, x: x.view(x.shape[0] * 2, -1)), {"x": torch.randn(4, 6)})
    assert graph(torch.randn(5, 6))[0].shape == (10, 3)


class Places(nn.Module):
    """Adds a parameter to words: one for each place."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 4), nn.Parameter(torch.randn(1, 10, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.words(x) + self.places


def words_then(*layers):
    return lambda: nn.Sequential(nn.Embedding(50, 4), *layers)


@pytest.mark.parametrize(
    ("factory", "length"),
    [
        (words_then(nn.LayerNorm(4)), None),
        (words_then(nn.LayerNorm((10, 4))), 10),
        (words_then(nn.BatchNorm1d(10)), 10),
        (words_then(nn.Flatten(), nn.Linear(40, 2)), 10),
        (Places, 10),
    ],
    ids=["open", "layer norm", "batch norm", "linear", "addition"],
)
def test_lengths_are_open_unless_the_weights_fix_them(factory, length):
    module = factory()
    (name,) = inspect.signature(module.forward).parameters
    _, signature = recorded(module, {name: IDS}, lengths=True)
    assert signature.inputs[0].shape == (None, length)


def padded_to_even(module, x):
    return F.max_pool2d(F.pad(x, [0, x.shape[3] % 2, 0, x.shape[2] % 2]), 2)


def halved_and_joined(module, x):
    return x + F.interpolate(F.max_pool2d(x, 2), scale_factor=2)


IMAGES = {
    "a net that takes even sizes alone": (halved_and_joined, True),
    "padding that follows the remainder": (padded_to_even, False),
    "the same behind patches": (lambda m, x: padded_to_even(m, F.avg_pool2d(x, 2)), False),
    "convolutions": (lambda m, x: F.adaptive_avg_pool2d(F.max_pool2d(x, 2), 2).flatten(1), True),
    "places that follow the batch": (lambda m, x: x.view(x.shape[0], 4, -1).softmax(-1), True),
    "a number of places": (lambda m, x: x / x.shape[2], False),
    "a linear layer over a row": (lambda m, x: m.fc(x), False),
    "positions": (lambda m, x: x + torch.ones(6, 6), False),
    "another way for large ones": (lambda m, x: x if x.shape[-1] < 10 else x.relu(), False),
}


@pytest.mark.parametrize(("function", "is_open"), IMAGES.values(), ids=IMAGES)
def test_height_and_width_are_open_where_no_number_follows_them(function, is_open):
    module, image = Calls(function).eval(), torch.rand(3, 4, 6, 6)
    _, signature = capture(module, {"x": image})
    (info,) = signature.inputs
    assert info.accepts((5, 4, 10, 8)) is is_open
    assert info.accepts((5, 4, 6, 6))
    assert not info.accepts((5, 3, 6, 6))
    assert not info.accepts((5, 4, 6))
    assert ("any, 4, any, any" in str(info)) is is_open
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


@torch.jit.script
def scripted(x):
    return x.relu_()


def autocast(module, x):
    with torch.autocast("cpu"):
        return module.fc(x)


FUNCTIONS = {
    "assertion": lambda m, x: torch._assert(x.dim() == 4, "four") or x.exp(),
    "to": lambda m, x: x.to(dtype=torch.float64).to(torch.float32) * 2,
    "split": lambda m, x: [*x.split(2, 1), *torch.split(x, [1, 3], dim=1)],
    "powers": lambda m, x: x.pow(2) + x**3 + torch.pow(x, 0.5).neg(),
    "resized": lambda m, x: F.interpolate(x, size=(7, 5), mode="bilinear", align_corners=False),
    "doubled": lambda m, x: F.interpolate(x, scale_factor=2),
    "stretched": lambda m, x: F.interpolate(x, scale_factor=(2.0, 0.5), mode="bicubic"),
    "rolled": lambda m, x: torch.roll(x, shifts=(-1, 2), dims=(2, 3)).flip(1),
    "repeated": lambda m, x: x.repeat(1, 2, 1, 1).amax((2, 3), keepdim=True),
    "sums": lambda m, x: torch.stack([x.sum((1, 2, 3)), x.sum(dim=3).amax((1, 2))], dim=1),
    "all of it": lambda m, x: x / x.sum(),
    "columns": lambda m, x: x[:, :, torch.arange(0, 6, 2)] + x[:, :, torch.arange(3)],
    "full": lambda m, x: torch.full((6, 6), 2.0).triu(1) * x.clamp_min(0.2).sign(),
    "facts": lambda m, x: x.clone() * (x.numel() // x.shape[0]) * x.is_floating_point(),
    "transposed": lambda m, x: F.conv_transpose2d(x, torch.ones(4, 3, 2, 2), stride=2),
    "places": lambda m, x: m.norm.weight[torch.arange(0, 6, 1)] * x,
    "filled": lambda m, x: torch.zeros(x.shape[0], 4, 1, 1) + torch.ones_like(x) - x,
    "by the batch": lambda m, x: F.batch_norm(x, None, None, training=True),
    "numbers": lambda m, x: (x.long() + x.int()).float().abs().sqrt(),
    "gathered": lambda m, x: torch.gather(x, 3, x.argmax(3, keepdim=True)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_recorded_as_what_is_exported(name):
    module, inputs = Calls(FUNCTIONS[name]), {"x": torch.rand(3, 4, 6, 6) + 0.1}
    graph, signature = recorded(module, inputs)
    reference, expected = exported(module, inputs)
    assert [target for target, _ in ops(graph)] == [target for target, _ in ops(reference)]
    assert traced_sizes(signature) == expected
    for x in (inputs["x"], torch.rand(5, 4, 6, 6) + 0.1):
        torch.testing.assert_close(graph(x), reference(x))


def test_moving_to_the_device_where_everything_is_changes_nothing():
    graph, _ = recorded(
        Calls(lambda m, x: x.to(device=x.device).to(x.device).type_as(x) * 2),
        {"x": torch.ones(4, 6)},
    )
    assert [target for target, _ in ops(graph)] == ["aten.to.dtype", "aten.mul.Tensor"]


def test_shapes_of_other_tensors_follow_the_batch():
    module = Calls(lambda m, x: x.new_zeros(1, 6).expand_as(x) + x.t().reshape_as(x).detach())
    graph, _ = recorded(module, {"x": torch.randn(4, 6)})
    x = torch.randn(7, 6)
    torch.testing.assert_close(graph(x)[0], x.t().reshape_as(x))


REFUSED = {
    "a mask": lambda m, x: x[x > 0],
    "an assertion about values": lambda m, x: torch._assert((x > 0).all(), "positive") or x,
    "an assertion about the batch": lambda m, x: torch._assert(x.shape[0] == 4, "four") or x,
    "another device": lambda m, x: x.to("meta"),
    "parts of the batch": lambda m, x: x.split(2)[0],
    "values decide": lambda m, x: m.fc(x) if bool(x.sum() > 0) else x,
    "values are read": lambda m, x: x * x[0, 0].item(),
    "a random number": lambda m, x: x + torch.rand(6),
    "a tensor of its own": lambda m, x: x + torch.tensor([1.0] * 6),
    "compiled code": lambda m, x: m.fc(scripted(x)),
    "its own precision": autocast,
    "dropout that drops": lambda m, x: F.dropout(x, 0.5, True),
    "half of a size": lambda m, x: x[: x.shape[0] // 3],
    "a size in a number": lambda m, x: x * float(x.shape[0]),
    "more work for more": lambda m, x: sum((x for _ in range(x.shape[0])), x),
    "another way for many": lambda m, x: m.fc(x) if x.shape[0] < 100 else m.norm(x),
    "one batch size": lambda m, x: x.view(4, 6) * 2,
    "an assignment": lambda m, x: x.__setitem__(0, 1.0) or x,
    "no tensor": lambda m, x: {"a": x, "n": 3},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_plain_is_refused(case):
    # compiled code wraps the refusal in an error of its own
    with pytest.raises((NotPlainError, UnsupportedModelError, RuntimeError)):
        recorded(Calls(REFUSED[case]), {"x": torch.randn(4, 6)})


class Scaled(torch.Tensor):
    """A tensor with functions of its own."""


def test_weights_that_are_more_than_tensors_are_refused():
    module = nn.Linear(6, 6)
    module.weight = nn.Parameter(torch.randn(6, 6).as_subclass(Scaled))
    with pytest.raises(NotPlainError, match="weight is a Scaled"):
        recorded(module, {"input": torch.randn(4, 6)})


def test_every_node_knows_what_it_gives():
    graph, _ = recorded(seeded(Attention), {"x": torch.randn(3, 9, 16)})
    calls = [node for node in graph.graph.nodes if node.op == "call_function"]
    assert all("val" in node.meta for node in calls)


def test_sizes_that_only_happen_to_be_equal_are_left_to_export():
    class Apart(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return a.view(len(a), -1), b.view(len(b), -1)

    with pytest.raises(NotPlainError, match="may differ"):
        recorded(Apart(), {"a": torch.randn(4, 2, 3), "b": torch.randn(4, 5)})


def test_a_module_is_left_as_it_was():
    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.last = nn.Linear(6, 6), None

        def forward(self, x: Tensor) -> Tensor:
            self.last = self.fc(x)
            return torch.relu(self.last)

    module = Remembers()
    graph, _ = recorded(module, {"x": torch.randn(4, 6)})
    assert module.last is None
    assert not module.fc._forward_hooks and not module.fc._forward_pre_hooks
    assert graph.get_parameter("fc.weight").data_ptr() == module.fc.weight.data_ptr()


def test_capture_does_not_export_a_plain_module(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("exported")

    monkeypatch.setattr(torch.export, "export", refuse)
    graph, _ = capture(seeded(ResidualNet), images())
    assert ops(graph)


def test_quantizing_a_plain_module_imports_no_compiler():
    script = """
import sys
import torch
from inc_core import Quantization

model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
batch = torch.randn(4, 3, 8, 8)
conf = {"tuning": {"exit_policy": {"max_trials": 1}}}
quantizer = Quantization(conf)
quantizer.model = model.eval()
quantizer.calib_dataloader = [(batch.numpy(), None)]
quantizer.fit().predict(batch.numpy())
print([name for name in ("torch._dynamo", "sympy") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr
