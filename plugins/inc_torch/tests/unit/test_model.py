"""The quantized model is a ``torch.nn.Module`` like any other."""

from __future__ import annotations

import copy

import pytest
import torch
from models import Encoder, Moody, ResidualNet, program, seeded

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.calibrator import Calibration
from inc_core.quant.space import TuningSpace
from inc_core.quant.spec import FP32, OpConfig
from inc_core.testing.adaptor_checks.measuring import calibrate
from inc_core.testing.oracle import snr_db
from inc_torch.adaptor import TorchAdaptor
from inc_torch.processor import multiplies_bf16


@pytest.fixture(scope="module")
def adaptor():
    return TorchAdaptor(AdaptorContext("pytorch", approach="auto"))


def mixed(adaptor, images):
    """Return a static, a dynamic, and a float part in one model, and its inputs."""
    float_model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
    space = TuningSpace(tuple(adaptor.capabilities(float_model)))
    calibration = calibrate(adaptor, float_model, space, images)
    recipe = space.default().with_op(space.ops[3], FP32)
    dynamic = next(c for c in space.options(space.ops[-1]) if c.mode == "dynamic")
    recipe = recipe.with_op(space.ops[-1], dynamic)
    model = adaptor.quantize(float_model, recipe, calibration)
    return model, (torch.from_numpy(images[0]["image"]),)


def weight_only(sentences):
    """Return a transformer with 4-bit weights, and its inputs."""
    adaptor = TorchAdaptor(AdaptorContext("pytorch", approach="weight_only"))
    float_model = adaptor.load(program(Encoder, (2, 10), (2, 10)))
    space = TuningSpace(tuple(adaptor.capabilities(float_model)))
    recipe = space.default()
    assert "int4" in recipe.precisions()
    model = adaptor.quantize(float_model, recipe, Calibration.none())
    return model, tuple(torch.from_numpy(array) for array in sentences[0].values())


@pytest.fixture(params=["mixed", "weight_only"])
def built(request, adaptor, images, sentences):
    return mixed(adaptor, images) if request.param == "mixed" else weight_only(sentences)


def flat(outputs):
    return torch.utils._pytree.tree_leaves(outputs)


def assert_same_bits(one, other):
    for a, b in zip(flat(one), flat(other), strict=True):
        assert torch.equal(a, b)


def assert_close(one, other):
    for a, b in zip(flat(one), flat(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_a_deep_copy_gives_the_same_bits(built):
    model, inputs = built
    assert_same_bits(copy.deepcopy(model)(*inputs), model(*inputs))


def test_a_state_dict_goes_into_a_copy(built):
    model, inputs = built
    other = copy.deepcopy(model)
    for value in other.state_dict().values():
        value.zero_()
    other.load_state_dict(model.state_dict())
    assert_same_bits(other(*inputs), model(*inputs))


def test_it_is_called_by_name_or_position(built):
    model, inputs = built
    names = [one.name for one in model.facts.signature.inputs]
    assert_same_bits(model(**dict(zip(names, inputs, strict=True))), model(*inputs))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (torch.nn.Linear(8, 4), (4, 5, 8)),
        (torch.nn.Conv1d(3, 8, 3), (4, 3, 9)),
        (torch.nn.Conv2d(3, 8, 3), (4, 3, 9, 9)),
    ],
)
def test_an_empty_batch_gives_an_empty_result(adaptor, layer, shape):
    batch = {"input": torch.randn(shape).numpy()}
    float_model = adaptor.trace(adaptor.load(layer), batch)
    space = TuningSpace(tuple(adaptor.capabilities(float_model)))
    calibration = calibrate(adaptor, float_model, space, [batch])
    model = adaptor.quantize(float_model, space.default(), calibration)
    x = torch.from_numpy(batch["input"])
    assert model(x[:0]).shape == layer(x[:0]).shape
    assert adaptor.predict(model, batch["input"][:0]).shape == layer(x[:0]).shape


def test_it_exports_with_an_open_batch(built):
    model, inputs = built
    batch = {0: torch.export.Dim.AUTO}
    shapes = {"args": tuple(batch for _ in inputs)}
    exported = torch.export.export(model, inputs, dynamic_shapes=shapes).module()
    fewer = tuple(one[:3] for one in inputs)
    assert_close(exported(*fewer), model(*fewer))


def test_it_compiles_as_one_graph(built):
    model, inputs = built
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert_close(compiled(*inputs), model(*inputs))


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


class Speaking(Moody):
    def speak(self):
        return f"{type(self.head).__name__} speaks"


def test_methods_of_a_model_that_runs_its_own_code_are_its_own(adaptor, images):
    model = adaptor.trace(adaptor.load(seeded(Speaking)), images[0])
    space = TuningSpace(tuple(adaptor.capabilities(model)))
    tuned = adaptor.quantize(model, space.default(), calibrate(adaptor, model, space, images))
    assert tuned.speak() == "TorchModel speaks"
    assert copy.deepcopy(tuned).speak() == tuned.speak()
    with pytest.raises(AttributeError, match="sing"):
        tuned.sing()


def test_a_traced_model_has_no_other_methods(built):
    with pytest.raises(AttributeError, match="'TorchModel' object has no attribute 'speak'"):
        built[0].speak()
