"""Really trained models keep their accuracy within 1 % with everything in int8, at the first trial.

The models come from the folder that the environment variable INC_ASSETS names. The channels of
``mobilenetv1_mild``, ``_spread`` and ``_hot`` were spread on purpose, without changing the function.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from inc_onnx.rewrite import BIAS_CORRECTION, EQUALIZATION

ASSETS = Path(os.environ.get("INC_ASSETS") or os.devnull)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ASSETS.is_dir(), reason="INC_ASSETS names no folder"),
]
MEAN = np.array((0.4914, 0.4822, 0.4465), np.float32)
STD = np.array((0.2470, 0.2435, 0.2616), np.float32)
CALIBRATION = 256
BATCH = 500


def images(name, count):
    with np.load(ASSETS / "data" / "cifar10" / name) as data:
        pixels = data["x"][:count].astype(np.float32) / 255
        return ((pixels - MEAN) / STD).transpose(0, 3, 1, 2), data["y"][:count]


@pytest.fixture(scope="module")
def cifar():
    calibration, _ = images("cifar10_train10k.npz", CALIBRATION)
    return "input", calibration, *images("cifar10_test.npz", 10_000)


@pytest.fixture(scope="module")
def news():
    with np.load(ASSETS / "data" / "ag_news" / "ag_news_bpe2048_len64.npz") as data:
        x_train, x_test = (data[key].astype(np.int64) for key in ("x_train", "x_test"))
        return "ids", x_train[:CALIBRATION], x_test, data["y_test"]


def accuracy(bench, model, x, y):
    parts = [bench.adaptor.predict(model, x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    return float(np.mean(np.concatenate(parts).argmax(1) == y))


@pytest.mark.parametrize("framework", ["onnxrt_qdq", "onnxrt_qoperator"])
@pytest.mark.parametrize(
    ("name", "options", "data", "least_int8"),
    [
        ("resnet8_cifar10", (), "cifar", 14),
        ("mobilenetv1_cifar10", (), "cifar", 15),
        ("mobilenetv1_mild_cifar10", (), "cifar", 15),
        ("mobilenetv2_cifar10", (), "cifar", 25),
        ("mobilenetv1_spread_cifar10", (EQUALIZATION,), "cifar", 15),
        ("mobilenetv1_hot_cifar10", (EQUALIZATION,), "cifar", 15),
        ("mobilenetv1_hot_cifar10", (EQUALIZATION, BIAS_CORRECTION), "cifar", 15),
        ("textcls_agnews", (), "news", 13),
    ],
)
def test_all_int8_loses_less_than_one_percent(
    workbench, request, name, options, data, least_int8, framework
):
    key, calibration, x, y = request.getfixturevalue(data)
    bench = workbench(framework).load(ASSETS / "models" / f"{name}.onnx")
    rewritten = bench.adaptor.rewrite(bench.model, options)
    batches = [{key: calibration[i : i + 64]} for i in range(0, CALIBRATION, 64)]
    ranges = bench.calibration(batches, model=rewritten, channels=BIAS_CORRECTION in options)
    quantized = bench.adaptor.quantize(rewritten, bench.best(options=options), ranges)
    baseline, found = (accuracy(bench, model, x, y) for model in (bench.model, quantized))
    assert found >= baseline * 0.99
    executed = bench.adaptor.executed(quantized).values()
    assert sum(precision != "fp32" for precision in executed) >= least_int8
