"""A script's own evaluation, as users of ONNX write it: a ``ModelProto`` in, a number out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import inc_core
import inc_onnx.plugin
from inc_core import Quantization
from inc_core.errors import WorkspaceError
from inc_core.plugin import Plugins

ROOT = Path(__file__).parents[4]
MODEL = ROOT / "examples" / "digits" / "digits_cnn.onnx"
with np.load(MODEL.parent / "digits.npz") as _data:
    TRAIN = _data["x_train"][:200].astype(np.float32) / 16
    IMAGES, LABELS = _data["x_test"][:200].astype(np.float32) / 16, _data["y_test"][:200]


def hits(model: onnx.ModelProto, indices=None):
    """Return 1 for each right answer: the model is run as any script runs one."""
    chosen = slice(None) if indices is None else indices
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": IMAGES[chosen]})
    return (logits.argmax(1) == LABELS[chosen]).astype(float)


def accuracy(model: onnx.ModelProto) -> float:
    return float(hits(model).mean())


@pytest.fixture(params=["one file", "weights beside it"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "one file":
        return MODEL
    path = tmp_path / "model.onnx"
    onnx.save_model(
        onnx.load(MODEL), path, save_as_external_data=True, location="w.bin", size_threshold=0
    )
    return path


@pytest.fixture
def make(source: Path, tmp_path: Path) -> Callable[..., Quantization]:
    def quantizer(eval_func: Callable[..., object], **tuning: object) -> Quantization:
        workspace = {"path": str(tmp_path / "workspace")}
        made = Quantization(
            {"tuning": {"workspace": workspace, **tuning}}, plugins=Plugins.of(inc_onnx.plugin)
        )
        made.model = source
        made.calib_dataloader = [(TRAIN[i : i + 50], None) for i in range(0, 200, 50)]
        made.eval_func = eval_func
        return made

    return quantizer


@pytest.mark.parametrize("function", [accuracy, hits], ids=["a number", "scores of indices"])
@pytest.mark.parametrize("early_stop", [True, False])
def test_it_is_given_the_model_that_scripts_know(make, function, early_stop):
    tuned = make(function, early_stop=early_stop).fit()
    assert tuned.facts["accuracy"]["final"] == accuracy(tuned.model) > 0.9


def test_the_result_is_such_a_model_too_also_when_loaded(make, tmp_path):
    tuned = make(accuracy).fit()
    assert isinstance(tuned.model, onnx.ModelProto)
    assert any(node.op_type == "QuantizeLinear" for node in tuned.model.graph.node)
    tuned.save(tmp_path / "saved")
    assert accuracy(inc_core.load(tmp_path / "saved").model) == accuracy(tuned.model)


def test_an_export_is_a_file_that_the_runtime_reads(make, tmp_path):
    tuned = make(accuracy).fit()
    for _ in range(2):  # what is there is replaced, not added to
        path = tuned.export(tmp_path / "int8.onnx")
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        (logits,) = session.run(None, {"image": IMAGES})
        assert np.array_equal(logits, tuned.predict(IMAGES))
    assert not (tmp_path / "int8.onnx.data").exists() or (
        (tmp_path / "int8.onnx.data").stat().st_size < MODEL.stat().st_size
    )


def test_an_export_that_cannot_be_written_says_so(make, tmp_path):
    tuned = make(accuracy).fit()
    with pytest.raises(WorkspaceError, match=r"no/such/int8\.onnx: cannot be written"):
        tuned.export(tmp_path / "no" / "such" / "int8.onnx")
