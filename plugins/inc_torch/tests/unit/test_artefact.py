"""Saved models: nothing is pickled, nothing that was changed is read, other code is not run."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from models import Moody, ResidualNet, program, seeded
from torch import nn

from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.space import TuningSpace
from inc_core.testing.adaptor_checks.measuring import calibrate
from inc_torch.adaptor import TorchAdaptor
from inc_torch.tensor_file import read_tensors, write_tensors


@pytest.fixture
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch"))


def quantized(adaptor, model, batches):
    space = TuningSpace(tuple(adaptor.capabilities(model)))
    return adaptor.quantize(model, space.default(), calibrate(adaptor, model, space, batches))


@pytest.fixture
def saved(adaptor, images, tmp_path):
    model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
    adaptor.save(quantized(adaptor, model, images), tmp_path)
    return tmp_path


def test_only_json_and_safetensors_are_written(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "model.safetensors"]


def test_weights_are_stored_as_integers_once(saved):
    size = (saved / "model.safetensors").stat().st_size
    integers = 4 * (
        3 * 8 * 9 + 8 * 16 * 9 + 16 * 9 + 8 * 16 + 16 * 16 * 9 + 16 * 9 + 16 * 16 + 16 * 5
    )
    assert size < integers  # four bytes for each weight would be as much


def test_one_changed_byte_is_noticed(adaptor, saved):
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match="was cut or changed"):
        adaptor.restore(saved)


@pytest.mark.parametrize(
    "target",
    ["python:eval", "os::system.default", "aten::from_file.default", "static:os", "aten::no.such"],
)
def test_an_operator_that_is_not_accepted_is_refused(adaptor, saved, target):
    path = saved / "model.json"
    content = json.loads(path.read_text())
    row = next(row for row in content["nodes"] if row["op"] == "call_function")
    row["target"] = target
    path.write_text(json.dumps(content))
    with pytest.raises(UnsupportedModelError):
        adaptor.restore(saved)


@pytest.mark.parametrize("op", ["call_module", "call_method"])
def test_a_node_that_could_call_anything_is_refused(adaptor, saved, op):
    path = saved / "model.json"
    content = json.loads(path.read_text())
    row = next(row for row in content["nodes"] if row["op"] == "call_function")
    row["op"] = op
    path.write_text(json.dumps(content))
    with pytest.raises(UnsupportedModelError, match="not accepted"):
        adaptor.restore(saved)


def test_a_newer_format_is_refused(adaptor, saved):
    path = saved / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UnsupportedModelError, match="format is 99"):
        adaptor.restore(saved)


def test_loading_unpickles_nothing(adaptor, saved, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr("pickle.loads", refuse)
    monkeypatch.setattr("pickle.load", refuse)
    monkeypatch.setattr("torch.load", refuse)
    adaptor.restore(saved)


class TestLayerByLayer:
    @pytest.fixture
    def saved(self, adaptor, images, tmp_path):
        model = adaptor.trace(adaptor.load(seeded(Moody)), images[0])
        built = quantized(adaptor, model, images)
        adaptor.save(built, tmp_path)
        return tmp_path, adaptor.predict(built, images[0])

    def test_without_its_code_the_error_says_what_to_give(self, adaptor, saved):
        with pytest.raises(UnsupportedModelError, match=r"inc_core\.load\(directory, model="):
            adaptor.restore(saved[0])

    def test_with_its_code_it_gives_the_same_bits(self, adaptor, saved, images):
        restored = adaptor.restore_into(saved[0], Moody())
        np.testing.assert_array_equal(adaptor.predict(restored, images[0]), saved[1])

    def test_the_code_may_be_named(self, adaptor, saved, images):
        restored = adaptor.restore_into(saved[0], "models:Moody")
        np.testing.assert_array_equal(adaptor.predict(restored, images[0]), saved[1])

    def test_another_module_is_refused(self, adaptor, saved):
        with pytest.raises(UnsupportedModelError, match="Moody"):
            adaptor.restore_into(saved[0], ResidualNet())

    def test_the_digest_survives(self, adaptor, images, tmp_path):
        model = adaptor.trace(adaptor.load(seeded(Moody)), images[0])
        built = quantized(adaptor, model, images)
        adaptor.save(built, tmp_path)
        assert adaptor.digest(adaptor.restore_into(tmp_path, Moody())) == adaptor.digest(built)


def test_equal_models_give_equal_bytes(adaptor, images, tmp_path):
    folders = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
        adaptor.save(quantized(adaptor, model, images), folder)
        folders.append(folder)
    for file in ("model.json", "model.safetensors"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


def test_tied_weights_are_saved(adaptor, tmp_path):
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False)
    )
    module[1].weight = module[0].weight
    x = np.ones((2, 4), np.float32)
    model = adaptor.trace(adaptor.load(module), x)
    adaptor.save(model, tmp_path)
    np.testing.assert_array_equal(
        adaptor.predict(adaptor.restore(tmp_path), x), adaptor.predict(model, x)
    )


def test_a_model_quantized_without_data_says_why_its_module_is_needed(tmp_path):
    layer = seeded(lambda: torch.nn.Linear(8, 8))
    dynamic = TorchAdaptor(AdaptorContext("pytorch", approach="dynamic"))
    model = dynamic.load(layer)
    recipe = TuningSpace(tuple(dynamic.capabilities(model))).default()
    dynamic.save(dynamic.quantize(model, recipe, Calibration.none()), tmp_path)
    with pytest.raises(
        UnsupportedModelError, match=r"\(it was quantized without data.*model=module"
    ):
        dynamic.restore(tmp_path)


@pytest.mark.parametrize(
    "shape", [(16, 1, 3, 3), (16, 8, 1, 1), (16, 8, 3, 3), (1, 1, 1, 1), (1, 8, 3, 3)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_weight_comes_back_with_the_strides_that_it_had(tmp_path, shape, layout):
    weight = torch.empty(shape, memory_format=layout).copy_(torch.randn(shape))
    (restored,) = read_tensors(tmp_path, write_tensors(tmp_path, {"w": weight})).values()
    assert torch.equal(restored, weight)
    assert restored.stride() == weight.stride()


def test_a_float_conv_of_one_channel_gives_the_same_bits_at_every_batch_size(adaptor, tmp_path):
    """Its weight is contiguous in either order, and for 797 images torch has a kernel for each."""
    torch.manual_seed(0)
    grey = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
    ).eval()
    inputs = np.random.default_rng(0).random((797, 1, 8, 8), np.float32)
    float_model = adaptor.trace(adaptor.load(grey), inputs[:2])
    space = TuningSpace(tuple(adaptor.capabilities(float_model)))
    first = next(iter(space.ops))
    recipe = space.default().with_ops({first: space.fallback(first)})
    calibration = calibrate(adaptor, float_model, space, [{"input": inputs[:50]}])
    model = adaptor.quantize(float_model, recipe, calibration)
    adaptor.save(model, tmp_path)
    restored = adaptor.restore(tmp_path)
    for batch in (1, 100, 797):
        some = inputs[:batch]
        assert np.array_equal(adaptor.predict(restored, some), adaptor.predict(model, some))
