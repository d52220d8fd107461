"""The quantized model is a ``torch.nn.Module`` like any other."""

from __future__ import annotations

import copy

import pytest
import torch
from models import ResidualNet, program

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpConfig
from inc_core.testing.adaptor_checks.measuring import calibrate
from inc_core.testing.oracle import snr_db
from inc_torch.adaptor import TorchAdaptor
from inc_torch.processor import multiplies_bf16


@pytest.fixture(scope="module")
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch", approach="auto"))


@pytest.fixture
def model(adaptor, images):
    float_model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
    space = TuningSpace(tuple(adaptor.capabilities(float_model)))
    calibration = calibrate(adaptor, float_model, space, images)
    # a static, a dynamic, and a float part
    recipe = space.default().with_op(space.ops[3], FP32)
    dynamic = next(c for c in space.options(space.ops[-1]) if c.mode == "dynamic")
    return adaptor.quantize(float_model, recipe.with_op(space.ops[-1], dynamic), calibration)


@pytest.fixture
def x(images):
    return torch.from_numpy(images[0]["image"])


def test_a_deep_copy_gives_the_same_bits(model, x):
    assert torch.equal(copy.deepcopy(model)(x), model(x))


def test_a_state_dict_goes_into_a_copy(model, x):
    other = copy.deepcopy(model)
    for value in other.state_dict().values():
        value.zero_()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))


def test_it_is_called_by_name_or_position(model, x):
    assert torch.equal(model(image=x), model(x))


def test_it_exports_with_an_open_batch(model, x):
    batch = {0: torch.export.Dim.AUTO}
    exported = torch.export.export(model, (x,), dynamic_shapes={"args": (batch,)}).module()
    torch.testing.assert_close(exported(x[:3]), model(x[:3]), rtol=1e-4, atol=1e-4)


def test_it_compiles_as_one_graph(model, x):
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not multiplies_bf16(), reason="this processor does not multiply bf16")
def test_bf16_is_a_float_mode_of_its_own(adaptor, images):
    model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
    space = TuningSpace(tuple(adaptor.capabilities(model)))
    bf16 = {op: OpConfig("bf16") for op in space.ops if OpConfig("bf16") in space.options(op)}
    built = adaptor.quantize(
        model, space.all_float().with_ops(bf16), calibrate(adaptor, model, space, images)
    )
    snr = snr_db(adaptor.predict(model, images[0]), adaptor.predict(built, images[0]))
    assert 30.0 < snr < 80.0  # 8 bits of mantissa, and really computed in them
