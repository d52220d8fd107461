"""Prune a digits CNN and train it for integers, both in one training of ten epochs.

A minute on one core, from the repository's root::

    pip install torch==2.13.0 . ./plugins/inc_torch ./plugins/inc_metrics
    python examples/digits/compress.py out/digits-small
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from inc_core.experimental import Pruning, Quantization, Scheduler

HERE = Path(__file__).parent
CONF = HERE / "compress.yaml"
BATCH = 50
FLOAT_EPOCHS = 12
EPOCHS = 10


class Net(nn.Module):
    """A CNN for 8x8 grey images."""

    def __init__(self) -> None:
        super().__init__()

        def block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
            return [
                nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(),
            ]

        self.first = nn.Sequential(*block(1, 32))
        self.body = nn.Sequential(*block(32, 32), *block(32, 64, stride=2), *block(64, 64))
        self.last = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``(batch, 10)`` of images ``(batch, 1, 8, 8)``, 0 to 1."""
        logits: torch.Tensor = self.last(self.body(self.first(images)).mean((2, 3)))
        return logits


def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the training images and labels in a new order."""
    with np.load(HERE / "digits.npz") as data:
        images = torch.from_numpy(data["x_train"].astype(np.float32) / 16)
        labels = torch.from_numpy(data["y_train"].astype(np.int64))
    for chosen in torch.randperm(len(labels)).split(BATCH):
        yield images[chosen], labels[chosen]


def train_float() -> nn.Module:
    """Return an ordinary trained model, as one has it before anything here begins."""
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(FLOAT_EPOCHS):
        for images, labels in batches():
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return model.eval()


def train(model: nn.Module, hooks: Any) -> None:
    """Fine-tune; beside the calls of ``hooks`` this is a loop like the one above."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(EPOCHS):
        model.train()
        hooks.on_epoch_begin(epoch)
        for step, (images, labels) in enumerate(batches()):
            hooks.on_step_begin(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            hooks.on_step_end()
        hooks.on_epoch_end()
        falling.step()


def main() -> None:
    """Train, compress, print why every layer is as it is, and save."""
    torch.manual_seed(0)
    scheduler = Scheduler()
    scheduler.model = train_float()
    combined = scheduler.combine(Pruning(CONF), Quantization(CONF))
    combined.train_func = lambda model: train(model, combined)
    scheduler.append(combined)
    compressed = scheduler.fit()
    print(compressed.report())
    if sys.argv[1:]:
        compressed.save(sys.argv[1])


if __name__ == "__main__":
    main()
