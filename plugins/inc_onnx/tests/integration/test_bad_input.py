"""Mistakes of a user, each answered with an error that says what is wrong; nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import inc_onnx.plugin
from inc_core import Quantization
from inc_core.errors import (
    CalibrationError,
    ConfigError,
    DataError,
    EvaluationError,
    UnsupportedModelError,
)
from inc_core.plugin import Plugins

ROOT = Path(__file__).parents[4]
MODEL = ROOT / "examples" / "digits" / "digits_cnn.onnx"
IMAGES = np.random.default_rng(0).random((32, 1, 8, 8), np.float32)
LABELS = np.arange(32) % 10
BATCHES = [(IMAGES[:16], LABELS[:16]), (IMAGES[16:], LABELS[16:])]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Quantization]:
    def quantizer(conf: dict | None = None) -> Quantization:
        conf = {"tuning": {"workspace": {"path": str(tmp_path / "workspace")}}, **(conf or {})}
        made = Quantization(conf, plugins=Plugins.of(inc_onnx.plugin))
        made.model = str(MODEL)
        made.calib_dataloader = BATCHES
        made.eval_func = lambda model: 0.5
        return made

    return quantizer


def test_the_same_parts_without_a_mistake_end_well(make):
    assert make().fit().goal_met


def test_a_missing_model_file(make):
    quantizer = make()
    quantizer.model = "no/such/model.onnx"
    with pytest.raises(UnsupportedModelError, match=r"no/such/model\.onnx"):
        quantizer.fit()


@pytest.mark.parametrize("keep", [0, 10, 5000], ids=["empty", "head", "half"])
def test_a_corrupt_model_file(make, tmp_path, keep):
    path = tmp_path / "cut.onnx"
    path.write_bytes(MODEL.read_bytes()[:keep])
    quantizer = make()
    quantizer.model = str(path)
    with pytest.raises(UnsupportedModelError, match=r"cut\.onnx"):
        quantizer.fit()


def test_a_model_that_breaks_the_standard(make):
    proto = onnx.load(MODEL)
    proto.graph.node[0].op_type = "Convolute"
    quantizer = make()
    quantizer.model = proto
    with pytest.raises(UnsupportedModelError, match="Convolute"):
        quantizer.fit()


def test_wrong_input_names(make):
    quantizer = make()
    quantizer.calib_dataloader = [({"picture": IMAGES}, LABELS)]
    with pytest.raises(DataError, match=r"picture.*image|image.*picture"):
        quantizer.fit()


@pytest.mark.parametrize("shape", [(4, 1, 8), (4, 3, 8, 8)], ids=["rank", "channels"])
def test_wrong_input_shapes(make, shape):
    quantizer = make()
    quantizer.calib_dataloader = [(np.zeros(shape, np.float32), np.zeros(4))]
    with pytest.raises(DataError, match="image"):
        quantizer.fit()


def test_too_many_inputs(make):
    quantizer = make()
    quantizer.calib_dataloader = [((IMAGES, IMAGES), LABELS)]
    with pytest.raises(DataError, match="2"):
        quantizer.fit()


def test_an_empty_calibration_loader(make):
    quantizer = make()
    quantizer.calib_dataloader = []
    with pytest.raises(CalibrationError, match="gave no sample"):
        quantizer.fit()


def test_nan_in_calibration(make):
    quantizer = make()
    quantizer.calib_dataloader = [(np.full_like(IMAGES, np.nan), LABELS)]
    with pytest.raises(CalibrationError, match="NaN"):
        quantizer.fit()


def test_a_failing_eval_func(make):
    def evaluate(model: object) -> float:
        raise KeyError("dev_set")

    quantizer = make()
    quantizer.eval_func = evaluate
    with pytest.raises(EvaluationError, match="dev_set"):
        quantizer.fit()


@pytest.mark.parametrize("value", [None, float("nan"), "0.9", [0.9, 0.8]])
def test_an_eval_func_that_gives_no_number(make, value):
    quantizer = make()
    quantizer.eval_func = lambda model: value
    with pytest.raises(EvaluationError, match="eval_func returned"):
        quantizer.fit()


def test_a_pattern_that_matches_no_op(make):
    quantizer = make({"quantization": {"op_wise": {"Conv_9": {"weight": {"dtype": "fp32"}}}}})
    with pytest.raises(ConfigError, match="op_wise"):
        quantizer.fit()


def test_a_scheme_that_no_kernel_has(make):
    conf = {"quantization": {"optype_wise": {"Conv": {"activation": {"dtype": "int8"}}}}}
    with pytest.raises(ConfigError, match=r"activation\.dtype.*uint8"):
        make(conf).fit()


def test_an_unknown_framework_name(make):
    from inc_core.errors import ComponentNotFoundError

    with pytest.raises(ComponentNotFoundError, match="Did you mean 'onnxruntime'"):
        make({"model": {"framework": "onxruntime"}}).fit()


def test_an_approach_that_the_framework_does_not_have(make):
    quantizer = make({"model": {"framework": "onnxrt_integerops"}})
    quantizer.model = str(MODEL)
    with pytest.raises(ConfigError, match=r"leaves nothing to quantize.*dynamic"):
        quantizer.fit()
