"""Train the digits CNN of this example and write ``digits_cnn.onnx`` and ``digits.npz``.

Both files are in the repository; run this only to make them anew (a minute on one core)::

    pip install torch==2.13.0 onnx scikit-learn
    python examples/digits/train.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

HERE = Path(__file__).parent
SEED = 0
TEST_SAMPLES = 797  # the rest, 1,000 images, trains and calibrates
EPOCHS = 20
BATCH = 50


def build() -> nn.Module:
    """Return a plain CNN for 8x8 grey images: four conv-bn-relu blocks, mean pool, one linear."""

    def block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
        return [
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        ]

    return nn.Sequential(
        *block(1, 32),
        *block(32, 64),
        *block(64, 64, stride=2),
        *block(64, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Train with SGD on a one-cycle schedule; images are shifted by up to one pixel."""
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images)).split(BATCH):
            shift = [int(s) for s in torch.randint(-1, 2, (2,))]
            batch = torch.roll(images[rows], shift, dims=(2, 3))
            loss = nn.functional.cross_entropy(model(batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def main() -> None:
    """Write data and model; print the test accuracy."""
    torch.manual_seed(SEED)
    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    images = digits.images.astype(np.uint8)[order][:, None]
    labels = digits.target.astype(np.uint8)[order]
    split = len(labels) - TEST_SAMPLES
    np.savez_compressed(
        HERE / "digits.npz",
        x_train=images[:split],
        y_train=labels[:split],
        x_test=images[split:],
        y_test=labels[split:],
    )

    scaled = torch.from_numpy(images.astype(np.float32) / 16)
    targets = torch.from_numpy(labels.astype(np.int64))
    model = build()
    train(model, scaled[:split], targets[:split])
    with torch.no_grad():
        accuracy = (model(scaled[split:]).argmax(1) == targets[split:]).float().mean().item()
    print(f"test accuracy {accuracy:.4f} on {TEST_SAMPLES} images")
    torch.onnx.export(
        model,
        (scaled[:1],),
        HERE / "digits_cnn.onnx",
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


if __name__ == "__main__":
    main()
