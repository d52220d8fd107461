"""Really trained models keep their accuracy within 1 % in int8, in torch and exported to ONNX.

Models and data come from the folder that the environment variable INC_ASSETS names. The channels of
``mobilenetv1_mild``, ``_spread`` and ``_hot`` were spread on purpose, without changing the function.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from inc_core import Quantization, common

ASSETS = Path(os.environ.get("INC_ASSETS") or os.devnull)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ASSETS.is_dir(), reason="INC_ASSETS names no folder"),
]
MEAN = np.array((0.4914, 0.4822, 0.4465), np.float32)
STD = np.array((0.2470, 0.2435, 0.2616), np.float32)
CALIBRATION = 256
BATCH = 100
CNNS = (
    "resnet8", "mobilenetv1", "mobilenetv2", "mobilenetv1_mild", "mobilenetv1_spread",
    "mobilenetv1_hot",
)  # fmt: skip
TEXT = "textcls_agnews"
# torch and ONNX Runtime round at other places, so samples on the edge may fall to either side
ONNX_DIFFERENCE = 0.005


class Rows:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __getitem__(self, index):
        return self.x[index], self.y[index]

    def __len__(self):
        return len(self.y)


class Top1:
    def __init__(self):
        self.hits = self.total = 0

    def update(self, predictions, labels):
        self.hits += int((predictions.argmax(-1) == labels).sum())
        self.total += len(labels)

    def reset(self):
        self.hits = self.total = 0

    def result(self):
        return self.hits / self.total


def images(part, count=None):
    with np.load(ASSETS / "data" / "cifar10" / f"cifar10_{part}.npz") as data:
        pixels = data["x"][:count].astype(np.float32) / 255
        scaled = ((pixels - MEAN) / STD).transpose(0, 3, 1, 2)
        return Rows(np.ascontiguousarray(scaled, np.float32), data["y"][:count].astype(np.int64))


def texts(part, count=None):
    with np.load(ASSETS / "data" / "ag_news" / "ag_news_bpe2048_len64.npz") as data:
        x, y = (data[f"{kind}_{part}"][:count].astype(np.int64) for kind in "xy")
        return Rows(x, y)


def definitions(name):
    spec = importlib.util.spec_from_file_location(name, ASSETS / "train" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trained(name):
    if name == TEXT:
        model, file = definitions("text_models").TextCls(), f"{name}.pt"
    else:
        model = definitions("cifar_models").build(name.split("_")[0])
        file = f"{name}_cifar10.pt"
    state = torch.load(ASSETS / "models" / file, weights_only=True)
    model.load_state_dict(state.get("model", state))
    return model.eval()


@pytest.mark.parametrize("name", [*CNNS, TEXT])
def test_int8_is_within_one_per_cent_in_torch_and_in_onnx(name, tmp_path):
    quantizer = Quantization(
        {
            "model": {"framework": "pytorch"},
            "quantization": {"calibration": {"sampling_size": CALIBRATION}},
            "tuning": {
                "accuracy_criterion": {"relative": 0.01},
                "workspace": {"path": str(tmp_path / "workspace")},
            },
        }
    )
    quantizer.model = trained(name)
    calibration = texts("train", CALIBRATION) if name == TEXT else images("train10k", CALIBRATION)
    test = texts("test") if name == TEXT else images("test")
    quantizer.calib_dataloader = common.DataLoader(calibration, batch_size=64)
    quantizer.eval_dataloader = common.DataLoader(test, batch_size=BATCH)
    quantizer.metric = common.Metric(Top1, "top1")
    tuned = quantizer.fit()
    assert tuned.goal_met
    session = onnxruntime.InferenceSession(str(tuned.export(tmp_path / "model.onnx")))
    (taken,) = session.get_inputs()
    metric = Top1()
    for start in range(0, len(test), BATCH):
        x, labels = test[start : start + BATCH]
        metric.update(session.run(None, {taken.name: x})[0], labels)
    assert abs(metric.result() - tuned.facts["accuracy"]["final"]) < ONNX_DIFFERENCE
