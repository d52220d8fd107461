"""Trained models and their test data, from the folder that ``INC_ASSETS`` names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

CNNS = (
    "resnet8",
    "mobilenetv1",
    "mobilenetv2",
    "mobilenetv1_mild",
    "mobilenetv1_spread",
    "mobilenetv1_hot",
)
TEXT = "textcls_agnews"

# of the CIFAR-10 training set, with which the models were trained
MEAN = np.array((0.4914, 0.4822, 0.4465), np.float32)
DEVIATION = np.array((0.2470, 0.2435, 0.2616), np.float32)

Array = np.ndarray[Any, Any]


def folder() -> Path:
    """Return the folder of the assets, or end the program saying what is missing."""
    named = os.environ.get("INC_ASSETS")
    if not named:
        sys.exit("skipped: set INC_ASSETS to the folder of the trained models and their data.")
    if not Path(named, "models").is_dir():
        sys.exit(f"skipped: INC_ASSETS names {named}, where there is no folder of models.")
    return Path(named)


def model_path(name: str) -> Path:
    """Return the ONNX file of a model."""
    return folder() / "models" / (f"{name}.onnx" if name == TEXT else f"{name}_cifar10.onnx")


class Dataset:
    """Arrays of inputs and labels, as ``common.DataLoader`` takes them."""

    def __init__(self, inputs: Array, labels: Array) -> None:
        self.inputs, self.labels = inputs, labels

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        return self.inputs[index], self.labels[index]

    def __len__(self) -> int:
        return len(self.labels)


def calibration_set(name: str, samples: int) -> Dataset:
    """Return the first ``samples`` training items that a model is calibrated on."""
    return _text("train", samples) if name == TEXT else _images("cifar10_train10k", samples)


def test_set(name: str, samples: int | None = None) -> Dataset:
    """Return a model's test set, or its first ``samples`` items."""
    return _text("test", samples) if name == TEXT else _images("cifar10_test", samples)


class Top1:
    """Share of samples whose largest output is at the label."""

    def __init__(self) -> None:
        self.hits = self.total = 0

    def update(self, predictions: Array, labels: Array) -> None:
        self.hits += int((predictions.argmax(-1) == labels).sum())
        self.total += len(labels)

    def reset(self) -> None:
        self.hits = self.total = 0

    def result(self) -> float:
        return self.hits / self.total


def _images(name: str, samples: int | None) -> Dataset:
    with np.load(folder() / "data" / "cifar10" / f"{name}.npz") as arrays:
        pixels, labels = arrays["x"][:samples], arrays["y"][:samples]
    scaled = (pixels.astype(np.float32) / 255 - MEAN) / DEVIATION
    inputs = np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)
    return Dataset(inputs, labels.astype(np.int64))


def _text(part: str, samples: int | None) -> Dataset:
    with np.load(folder() / "data" / "ag_news" / "ag_news_bpe2048_len64.npz") as arrays:
        ids, labels = arrays[f"x_{part}"][:samples], arrays[f"y_{part}"][:samples]
    return Dataset(ids.astype(np.int64), labels.astype(np.int64))
