"""Small nets and the ops that an adaptor would name in them."""

from __future__ import annotations

import torch
from torch import nn

from inc_core.hookspecs.training import SimulatedOp
from inc_core.quant.spec import OpConfig, OpKey, TensorKey, TensorSpec

ACTIVATION = TensorSpec("uint8", "asym")
WEIGHT = TensorSpec("int8", "sym", "per_channel")
STATIC = OpConfig("static", ACTIVATION, WEIGHT)
ADDITION = OpConfig("static", ACTIVATION)


class Block(nn.Module):
    """Two convs with batch norms and a shortcut around the second, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.bn2 = nn.BatchNorm2d(8)
        self.out = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        x = self.out(self.bn2(self.conv2(x)) + x)
        return self.fc(self.pool(x).flatten(1))


def make_block(seed: int = 0) -> Block:
    """Return a block whose batch norms have seen data."""
    torch.manual_seed(seed)
    block = Block()
    with torch.no_grad():
        for _ in range(20):
            block(torch.randn(16, 3, 8, 8))
        block.bn1.weight.uniform_(-1.5, 1.5)
    return block.eval()


def ops_of_block(*, addition: bool = True) -> dict[OpKey, SimulatedOp]:
    """Return the static ops of a block."""
    keys = {name: TensorKey(name) for name in ("x", "act", "conv2", "out", "pool", "fc")}
    ops = {
        OpKey("conv1", "Conv2d"): SimulatedOp(STATIC, (keys["x"], keys["act"])),
        OpKey("conv2", "Conv2d"): SimulatedOp(STATIC, (keys["act"], keys["conv2"])),
        OpKey("fc", "Linear"): SimulatedOp(STATIC, (keys["pool"], keys["fc"])),
    }
    if addition:
        ops[OpKey("add", "Add")] = SimulatedOp(ADDITION, (keys["conv2"], keys["act"], keys["out"]))
    return ops


def batches(count: int = 3, size: int = 16) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return batches of images and labels that a block can learn."""
    generator = torch.Generator().manual_seed(7)
    found = []
    for _ in range(count):
        x = torch.randn(size, 3, 8, 8, generator=generator)
        found.append((x, (x.mean(dim=(2, 3))[:, :1] > 0).long().flatten()))
    return found
