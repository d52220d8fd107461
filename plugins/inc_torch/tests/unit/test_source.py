"""What a model may be, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import ResidualNet, TwoTowers, program, seeded
from torch import nn

from inc_core.errors import UnsupportedModelError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_torch.adaptor import TorchAdaptor


@pytest.fixture
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch"))


def test_the_users_module_is_left_alone(adaptor, images):
    module = seeded(ResidualNet).train()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    adaptor.predict(adaptor.trace(adaptor.load(module), images[0]), images[0])
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_the_prepared_model_computes_what_the_module_computes(adaptor, images):
    module = seeded(ResidualNet)
    model = adaptor.trace(adaptor.load(module), images[0])
    expected = module(torch.from_numpy(images[0]["image"])).detach().numpy()
    np.testing.assert_allclose(adaptor.predict(model, images[0]), expected, rtol=1e-4, atol=1e-5)


def test_a_saved_program_is_loaded_without_an_example(adaptor, tmp_path, pairs):
    path = tmp_path / "model.pt2"
    torch.export.save(program(TwoTowers, (2, 12), (2, 6)), path)
    model = adaptor.load(path)
    names = [one.op.name for one in adaptor.capabilities(model)]
    assert names == ["left", "right", "add", "head"]
    assert adaptor.predict(model, pairs[0])[1].shape == (8, 3)


def test_torch_save_is_refused_because_it_would_run_code(adaptor, tmp_path):
    path = tmp_path / "model.pt"
    torch.save(seeded(TwoTowers), path)
    with pytest.raises(UnsupportedModelError, match=r"torch\.save.*load_state_dict"):
        adaptor.load(path)


def test_torch_script_is_refused_with_a_remedy(adaptor, tmp_path):
    script = torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))
    with pytest.raises(UnsupportedModelError, match="TorchScript"):
        adaptor.load(script)
    torch.jit.save(script, str(tmp_path / "script.pt"))
    with pytest.raises(UnsupportedModelError, match="TorchScript"):
        adaptor.load(tmp_path / "script.pt")


def test_a_module_that_holds_results_of_computations_is_copied(adaptor):
    conv = torch.nn.utils.weight_norm(
        torch.nn.Conv2d(3, 4, 3)
    )  # its weight has a gradient's history
    conv(torch.ones(1, 3, 8, 8))
    model = adaptor.load(torch.nn.Sequential(conv))
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(model(x).detach(), conv(x).detach())


def test_a_module_with_a_part_in_torch_script_is_copied(adaptor):
    part = torch.jit.script(torch.nn.Linear(4, 4))
    module = torch.nn.Sequential(part, torch.nn.Linear(4, 2)).eval()
    model = adaptor.trace(adaptor.load(module), np.ones((2, 4), np.float32))
    torch.testing.assert_close(model(torch.ones(2, 4)), module(torch.ones(2, 4)).detach())
