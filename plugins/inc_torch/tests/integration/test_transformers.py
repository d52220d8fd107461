"""Models of Hugging Face's ``transformers``, with random weights; skipped where it is not installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import inc_core
from inc_core import Quantization, common

transformers = pytest.importorskip("transformers")

SMALL = {"vocab_size": 100, "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}


def bert():
    config = transformers.BertConfig(**SMALL, intermediate_size=128)
    return transformers.BertForSequenceClassification(config)


def gpt2():
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=100, n_layer=2, n_embd=64, n_head=4)
    )


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, intermediate_size=128))


class Sentences:
    def __len__(self):
        return 16

    def __getitem__(self, index):
        ids = np.random.default_rng(index).integers(0, 100, 12)
        return {"input_ids": ids, "attention_mask": np.ones(12, np.int64)}, index % 2


@pytest.fixture
def fit(tmp_path):
    def fit(module, approach):
        quantizer = Quantization(
            {
                "quantization": {"approach": approach, "calibration": {"sampling_size": 16}},
                "tuning": {"speed_gate": False, "workspace": {"path": str(tmp_path / "workspace")}},
            }
        )
        quantizer.model = module
        quantizer.calib_dataloader = common.DataLoader(Sentences(), batch_size=8)
        return quantizer.fit()

    return fit


def logits_of(outputs):
    if isinstance(outputs, dict):
        return outputs["logits"]
    return outputs[0] if isinstance(outputs, tuple | list) else outputs


@pytest.mark.parametrize("approach", ["static", "dynamic"])
@pytest.mark.parametrize("make", [bert, gpt2, llama])
def test_a_model_is_quantized_saved_and_restored(fit, tmp_path, make, approach):
    torch.manual_seed(0)
    module = make().eval()
    tuned = fit(module, approach)
    assert len(tuned.recipe.quantized_ops) >= 9  # every linear layer
    inputs, _ = next(iter(common.DataLoader(Sentences(), batch_size=8)))
    wanted = module(**{name: torch.from_numpy(value) for name, value in inputs.items()}).logits
    found = logits_of(tuned.predict(inputs))
    assert np.abs(found - wanted.detach().numpy()).max() < 0.1 * wanted.abs().max()
    tuned.save(tmp_path / "out")
    restored = inc_core.load(tmp_path / "out", model=module)
    np.testing.assert_array_equal(logits_of(restored.predict(inputs)), found)


def test_a_causal_model_still_generates(fit):
    tokens = torch.tensor([[1, 2, 3]])
    tuned = fit(llama().eval(), "weight_only")
    assert tuned.model.generate(tokens, max_new_tokens=4, do_sample=False).shape == (1, 7)


@pytest.mark.parametrize("make", [bert, gpt2, llama])
def test_an_exported_model_gives_the_same_logits(fit, tmp_path, make):
    onnxruntime = pytest.importorskip("onnxruntime")
    module = make().eval()
    module.config.use_cache = False
    tuned = fit(module, "static")
    path = tuned.export(tmp_path / "model.onnx")
    inputs, _ = next(iter(common.DataLoader(Sentences(), batch_size=8)))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {one.name: inputs[one.name] for one in session.get_inputs()}
    found, wanted = session.run(None, feed)[0], logits_of(tuned.predict(inputs))
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()
