"""The backward sweep estimates what probes measure."""

from __future__ import annotations

import pytest
import torch
from models import ResidualNet, program

from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.space import TuningSpace
from inc_core.testing.adaptor_checks.measuring import calibrate
from inc_core.tuning.divergence import as_outputs, output_divergence
from inc_core.tuning.measurements import kinds
from inc_torch.adaptor import TorchAdaptor


@pytest.fixture
def problem(images):
    adaptor = TorchAdaptor(AdaptorContext("pytorch"))
    model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
    return adaptor, model, TuningSpace(tuple(adaptor.capabilities(model)))


def test_the_estimate_is_of_the_size_of_what_a_probe_measures(problem, images):
    adaptor, model, space = problem
    calibration = calibrate(adaptor, model, space, images)
    found = adaptor.sensitivity(model, {op: kinds(space, op) for op in space.ops}, images)
    for op in space.ops:
        config = space.options(op)[0]
        alone = adaptor.quantize(model, space.all_float().with_op(op, config), calibration)
        measured = sum(
            output_divergence(
                as_outputs(adaptor.predict(model, batch)), as_outputs(adaptor.predict(alone, batch))
            )
            for batch in images
        ) / len(images)
        assert measured / 20 < found[op][config] < measured * 20, op


def test_a_layer_of_spread_weights_stands_out(problem, images):
    adaptor, model, space = problem
    with torch.no_grad():  # per tensor, the small channels are lost
        model = adaptor.load(program(ResidualNet, (2, 3, 16, 16)))
        op = next(op for op in space.ops if op.name == "block1.conv1")
        tensor = next(c for c in space.options(op) if c.weight.granularity == "per_tensor")
        channel = space.options(op)[0]
    found = adaptor.sensitivity(model, {op: (channel, tensor)}, images)
    assert found[op][tensor] > found[op][channel]


def test_it_is_the_same_every_time_and_leaves_the_model_alone(problem, images):
    adaptor, model, space = problem
    wanted = {op: kinds(space, op) for op in space.ops}
    before = adaptor.digest(model)
    assert adaptor.sensitivity(model, wanted, images) == adaptor.sensitivity(model, wanted, images)
    assert adaptor.digest(model) == before
    assert not any(parameter.requires_grad for parameter in model.parameters())
