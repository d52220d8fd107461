"""The facade with PyTorch models, as a script uses it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from models import Encoder, Moody, MoodyGpt2, ResidualNet, Tokens, seeded

import inc_core
from inc_core.experimental import Quantization, common
from inc_core.tuned_model import verify


class Labelled:
    """Inputs with the float model's own answers: the float accuracy is 1."""

    def __init__(self, module, batches):
        self.rows = []
        for batch in batches:
            tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
            with torch.no_grad():
                outputs = module(**tensors)
            logits = outputs["logits"] if isinstance(outputs, dict) else outputs
            for i, label in enumerate(logits.argmax(-1).numpy()):
                self.rows.append(({name: array[i] for name, array in batch.items()}, label))

    def __getitem__(self, index):
        return self.rows[index]

    def __len__(self):
        return len(self.rows)


class Agreement:
    """The share of labels that the first output has its largest value at."""

    def __init__(self):
        self.hits = []

    def update(self, predictions, labels):
        first = predictions[0] if isinstance(predictions, tuple) else predictions
        self.hits += list(first.argmax(-1) == labels)

    def reset(self):
        self.hits = []

    def result(self):
        return float(np.mean(self.hits))


@pytest.fixture
def quantizer(tmp_path):
    def make(module, batches, approach="post_training_static_quant", **quantization):
        found = Quantization(
            {
                "quantization": {
                    "approach": approach, "calibration": {"sampling_size": 16}, **quantization
                },
                "tuning": {
                    # how fast a kernel is on this machine must not decide what is tested
                    "strategy": "basic",
                    "speed_gate": False,
                    "accuracy_criterion": {"relative": 0.1},
                    "workspace": {"path": str(tmp_path / "workspace")},
                },
            }
        )  # fmt: skip
        data = Labelled(module, batches)
        found.model = common.Model(module)
        found.calib_dataloader = common.DataLoader(data, batch_size=8)
        found.eval_dataloader = common.DataLoader(data, batch_size=8)
        found.metric = common.Metric(Agreement, "agreement")
        return found

    return make


def test_a_cnn_is_tuned_saved_and_restored(quantizer, images, tmp_path):
    tuned = quantizer(seeded(ResidualNet), images)()
    assert tuned.goal_met
    assert isinstance(tuned.model, torch.nn.Module)
    assert tuned.recipe.precisions()["int8"] >= 8
    tuned.save(tmp_path / "out")
    verification = verify(tmp_path / "out")
    assert verification.bit_equal
    assert verification.integer_weights >= 8


def test_a_tuned_model_is_exported_to_onnx_with_equal_accuracy(quantizer, images, tmp_path):
    tuned = quantizer(seeded(ResidualNet), images).fit()
    tuned.save(tmp_path / "saved")
    command = [sys.executable, "-m", "inc_core", "export", "saved", "model.onnx"]
    subprocess.run(command, cwd=tmp_path, check=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    data = Labelled(seeded(ResidualNet), images)
    metrics = [Agreement(), Agreement()]
    for inputs, label in (data[i] for i in range(len(data))):
        batch = {name: array[None] for name, array in inputs.items()}
        metrics[0].update(tuned.predict(batch), [label])
        metrics[1].update(session.run(None, batch)[0], [label])
    one_sample = 1 / len(data)
    assert abs(metrics[0].result() - metrics[1].result()) <= one_sample + 1e-9


@pytest.mark.parametrize("approach", ["dynamic", "auto"])
def test_a_transformer_with_keywords_is_tuned(quantizer, sentences, approach):
    tuned = quantizer(seeded(Encoder), sentences, f"post_training_{approach}_quant").fit()
    assert tuned.goal_met
    assert len(tuned.recipe.quantized_ops) >= 6


def test_a_model_that_cannot_be_traced_is_tuned_and_restored_with_its_code(
    quantizer, images, tmp_path
):
    tuned = quantizer(seeded(Moody), images).fit()
    assert tuned.recipe.precisions()["int8"] == 4
    tuned.save(tmp_path / "out")
    restored = inc_core.load(tmp_path / "out", model=Moody())
    np.testing.assert_array_equal(restored.predict(images[0]), tuned.predict(images[0]))


@pytest.mark.parametrize("approach", ["static", "dynamic", "weight_only"])
def test_transposed_layers_of_untraced_models_are_linear_layers(quantizer, approach, tmp_path):
    module = seeded(MoodyGpt2)
    rows = [
        {"x": np.random.default_rng(i).normal(size=(8, 5, 8)).astype("float32")} for i in (1, 2)
    ]
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    tuned = quantizer(module, rows, approach).fit()
    assert [op.type for op in tuned.recipe.quantized_ops] == ["Linear", "Linear"]
    wanted = module(torch.from_numpy(rows[0]["x"])).detach().numpy()
    found = tuned.predict(rows[0])
    assert np.abs(found - wanted).mean() < 0.1 * np.abs(wanted).mean()
    tuned.save(tmp_path / "out")
    restored = inc_core.load(tmp_path / "out", model=seeded(MoodyGpt2))
    np.testing.assert_array_equal(restored.predict(rows[0]), found)
    assert all(tensor.equal(weights[name]) for name, tensor in module.state_dict().items())


def test_constants_that_are_joined_with_activations_are_observed(quantizer, images):
    tuned = quantizer(seeded(Tokens), images).fit()
    assert tuned.recipe.precisions()["int8"] == 3
    assert tuned.goal_met


def test_an_op_that_the_user_wants_in_float_stays_float(quantizer, images):
    tuned = quantizer(
        seeded(ResidualNet),
        images,
        op_wise={"block1.*": {"weight": {"dtype": "fp32"}, "activation": {"dtype": "fp32"}}},
    ).fit()
    modes = {op.name: config.mode for op, config in tuned.recipe.ops.items()}
    assert modes["block1.conv1"] == "fp32"
    assert modes["block2.conv1"] == "static"


def test_dynamic_needs_no_data(tmp_path):
    quantizer = Quantization({"quantization": {"approach": "post_training_dynamic_quant"}})
    quantizer.model = seeded(Encoder)
    tuned = quantizer.fit()
    assert tuned.recipe.precisions()["int8"] == 7


class OfManySizes:
    """Batches of images, each of another size."""

    batch_size = 4

    def __init__(self, module):
        self.batches = []
        for number, size in enumerate((16, 24, 40, 27)):
            image = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(number))
            self.batches.append((image.numpy(), module(image).argmax(-1).numpy()))

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


@torch.no_grad()
def test_images_of_many_sizes_calibrate_and_evaluate_a_traced_model(quantizer, images, tmp_path):
    module = seeded(ResidualNet)
    found = quantizer(module, images)
    found.calib_dataloader = found.eval_dataloader = OfManySizes(module)
    tuned = found.fit()
    assert tuned.native.facts.traced
    tuned.save(tmp_path / "saved")
    loaded = inc_core.load(tmp_path / "saved").native
    for size in (16, 33):
        image = torch.randn(2, 3, size, size)
        expected = module(image)
        error = (tuned.native(image) - expected).norm() / expected.norm()
        assert error < 0.1
        assert torch.equal(loaded(image), tuned.native(image))
