"""``prepare`` changes the form of a graph, never what it computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from inc_torch.static import prepare


class Block(nn.Module):
    def __init__(self, *, bias: bool, affine: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, bias=bias)
        self.norm = nn.BatchNorm2d(6, affine=affine)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.3)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.3, 3)
        if affine:
            nn.init.normal_(self.norm.weight)
            nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.relu(self.norm(self.conv(x))))
        y += y.mean()
        return y


@pytest.mark.parametrize("decomposed", [False, True], ids=["exported", "decomposed"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("affine", [False, True], ids=["plain norm", "affine norm"])
def test_batch_norms_are_folded_exactly(decomposed: bool, bias: bool, affine: bool) -> None:
    net, x = Block(bias=bias, affine=affine).eval(), torch.randn(2, 3, 9, 9)
    program = torch.export.export(net, (x,))
    source = (program.run_decompositions({}) if decomposed else program).module()
    prepared = prepare(source)
    targets = [str(node.target) for node in prepared.graph.nodes if node.op == "call_function"]
    assert targets[:2] == ["aten.conv2d.default", "aten.relu.default"]
    assert not any(
        "batch_norm" in one or "dropout" in one or one.endswith("_.default") for one in targets
    )
    torch.testing.assert_close(prepared(x), net(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(source(x), net(x))


def test_one_weight_behind_two_norms_is_folded_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))
            self.norms[1].running_var.fill_(7.0)

        def forward(self, x: Tensor) -> Tensor:
            for norm in self.norms:
                x = norm(self.conv(x))
            return x

    net, x = Twice().eval(), torch.randn(1, 4, 6, 6)
    prepared = prepare(torch.export.export(net, (x,)).module())
    torch.testing.assert_close(prepared(x), net(x), rtol=1e-4, atol=1e-5)


def test_a_changed_view_is_left_in_place() -> None:
    class Views(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            first = y[:, :2]
            F.relu_(first)
            return y

    net, x = Views(), torch.randn(3, 4)
    prepared = prepare(torch.export.export(net, (x,)).module())
    assert torch.equal(prepared(x), net(x))


def test_inputs_of_every_form_survive(lab: Any) -> None:
    class Nested(nn.Module):
        def forward(self, x: Tensor, *, scale: Tensor) -> dict[str, Any]:
            return {"y": [x * scale, x], "z": F.relu(x)}

    net, x, scale = Nested(), torch.randn(2, 3), torch.tensor(3.0)
    program = torch.export.export(net, (x,), {"scale": scale})
    result = prepare(program.module())(x, scale=scale)
    assert torch.equal(result["y"][0], x * 3)
    assert result.keys() == {"y", "z"}
