"""A simulated net rounds where kernels will, stays the user's own, and is given back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from inc_core.hookspecs.training import SimulatedOp
from inc_core.quant.qparams import choose_qparams
from inc_core.quant.spec import OpKey, TensorKey
from inc_core.quant.weights import quantize_weight
from inc_torch.training.layers import BATCH_NORM_STEPS
from inc_torch.training.simulation import prepare, simulation_of

from .nets import ACTIVATION, STATIC, WEIGHT, Block, batches, make_block, ops_of_block


def train(model, steps, rate=0.01):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    data = batches()
    model.train()
    for step in range(steps):
        x, labels = data[step % len(data)]
        loss = functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def weights(model):
    return [(n, p) for n, p in model.named_parameters() if n.endswith("weight") and p.dim() > 1]


def prepared(steps=0, **options):
    model = make_block()
    prepare(model, ops_of_block(), {}, **options)
    if steps:
        train(model, steps)
    return model


def folded(conv, norm):
    """Return weight and bias of a conv with its batch norm folded in, numpy."""
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = conv.bias if conv.bias is not None else 0.0
    weight = conv.weight * factor.reshape(-1, 1, 1, 1)
    return weight.detach(), ((bias - norm.running_mean) * factor + norm.bias).detach()


def rounded_weight(weight):
    q_weight, qparams = quantize_weight(weight.numpy(), WEIGHT, axis=0)
    return torch.from_numpy(qparams.dequantize(q_weight))


def rounded(x, bounds):
    qparams = choose_qparams(*bounds, ACTIVATION)
    return torch.from_numpy(qparams.dequantize(qparams.quantize(x.numpy())))


def test_it_computes_what_integer_kernels_compute_after_folding():
    model = prepared(steps=30)
    simulation = simulation_of(model)
    ranges = {key.op: bounds for key, bounds in simulation.ranges.items()}
    x = batches(1)[0][0]
    with torch.no_grad():
        found = model.eval()(x)
    w1, b1 = folded(model.conv1, model.bn1)
    w2, b2 = folded(model.conv2, model.bn2)
    a = functional.conv2d(rounded(x, ranges["x"]), rounded_weight(w1), b1, padding=1).relu()
    a = rounded(a, ranges["act"])
    b = functional.conv2d(a, rounded_weight(w2), b2, padding=1, groups=8)
    c = (rounded(b, ranges["conv2"]) + a).relu()
    c = rounded(c.mean(dim=(2, 3)), ranges["pool"])
    expected = functional.linear(c, rounded_weight(model.fc.weight.detach()), model.fc.bias)
    # rounding to the other neighbour, where float32 sums in another order, moves a value by a step
    noise = (found - expected).pow(2).sum() / expected.pow(2).sum()
    assert noise < 1e-4


def test_every_tensor_of_the_ops_has_a_range_after_training():
    model = prepared(steps=3)
    assert set(simulation_of(model).ranges) == {
        TensorKey(name) for name in ("x", "act", "conv2", "out", "pool", "fc")
    }


def test_ranges_that_are_given_are_the_start():
    model = make_block()
    prepare(model, ops_of_block(), {TensorKey("act"): (0.0, 7.0)})
    assert simulation_of(model).ranges == {TensorKey("act"): (0.0, 7.0)}


def test_the_model_stays_the_users_own():
    model = make_block()
    layers = {name: layer for name, layer in model.named_modules()}
    parameters = dict(model.named_parameters())
    prepare(model, ops_of_block(), {})
    assert type(model) is Block
    assert isinstance(model.conv1, nn.Conv2d)
    assert all(model.get_submodule(name) is layer for name, layer in layers.items() if name)
    assert all(model.get_parameter(name) is p for name, p in parameters.items())
    assert set(parameters) < set(dict(model.named_parameters()))


def test_the_end_gives_classes_hooks_and_state_back():
    model = make_block()
    before = {name: type(layer) for name, layer in model.named_modules()}
    keys = list(model.state_dict())
    prepare(model, ops_of_block(), {})
    train(model, 3)
    simulation_of(model).end()
    assert {name: type(layer) for name, layer in model.named_modules()} == before
    assert list(model.state_dict()) == keys
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())
    assert simulation_of(model) is None
    assert not [name for m in model.modules() for name in vars(m) if name.startswith("inc_")]


def test_training_lowers_the_loss_and_moves_weights_and_ranges():
    model = prepared(steps=21)
    before = {name: p.detach().clone() for name, p in weights(model)}
    ranges = dict(simulation_of(model).ranges)
    first, last = train(model, 1), train(model, 60)
    assert last < first
    assert all(not torch.equal(p, before[n]) for n, p in weights(model))
    assert simulation_of(model).ranges[TensorKey("act")] != ranges[TensorKey("act")]


def test_ranges_may_follow_the_batches_instead():
    model = make_block()
    prepare(model, ops_of_block(), {}, learned=False)
    train(model, 2)
    assert not any(
        p.requires_grad for n, p in model.named_parameters() if n.endswith((".lo", ".hi"))
    )
    assert TensorKey("act") in simulation_of(model).ranges


def test_batch_norm_statistics_stand_still_after_some_steps():
    model = prepared(steps=BATCH_NORM_STEPS + 1)  # the first pass finds the batch norms
    before = model.bn1.running_mean.clone()
    gain = model.bn1.weight.detach().clone()
    train(model, 3)
    assert torch.equal(model.bn1.running_mean, before)
    assert not torch.equal(model.bn1.weight, gain)


def test_a_script_may_freeze_norms_itself_by_looking_for_their_class():
    model = prepared(steps=1)  # from now on they are simulated
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    data = batches()
    model.train()
    for norm in norms:
        norm.eval()
    for x, _ in data:
        model(x)
    assert len(norms) == sum(isinstance(layer, nn.BatchNorm2d) for layer in make_block().modules())
    assert all(torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True))


def test_evaluation_rounds_too_and_moves_nothing():
    model = prepared(steps=3)
    ranges = simulation_of(model).ranges
    float_model = make_block()
    float_model.load_state_dict({k: model.state_dict()[k] for k in float_model.state_dict()})
    x = batches(1)[0][0] * 3
    with torch.no_grad():
        assert not torch.equal(model.eval()(x), float_model.eval()(x))
    assert simulation_of(model).ranges == ranges


def test_a_copy_is_trained_apart_from_its_original():
    model = prepared(steps=3)
    other = copy.deepcopy(model)
    train(other, 25)
    assert not torch.equal(other.conv1.weight, model.conv1.weight)
    assert simulation_of(other) is not simulation_of(model)
    assert simulation_of(other).ranges != simulation_of(model).ranges
    assert other.conv1.inc_norm is other.bn1


def test_state_can_be_saved_and_loaded_while_training():
    model = prepared(steps=3)
    state = copy.deepcopy(model.state_dict())
    train(model, 25)
    model.load_state_dict(state)
    assert all(torch.equal(model.state_dict()[key], state[key]) for key in state)


def test_a_subclass_of_the_users_is_left_alone():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = make_block()
    model.fc = Scaled(8, 4)
    prepare(model, ops_of_block(), {})
    assert type(model.fc) is Scaled


def test_a_container_that_calls_its_parts_is_not_given_another():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
    ops = {
        OpKey("0", "Conv2d"): SimulatedOp(STATIC, (TensorKey("input"), TensorKey("1"))),
        OpKey("3", "Linear"): SimulatedOp(STATIC, (TensorKey("1"), TensorKey("3"))),
    }
    prepare(model, ops, {})
    train(model, 3)
    assert set(simulation_of(model).ranges) == {TensorKey(name) for name in ("input", "1", "3")}
    assert len(model) == 4


def test_a_dead_channel_of_a_batch_norm_gives_no_infinite_weight():
    model = make_block()
    with torch.no_grad():
        model.bn1.weight[0] = 0.0
    prepare(model, ops_of_block(), {})
    assert np.isfinite(train(model, 5))


@pytest.mark.parametrize("rate", [0.0])
def test_float_outputs_come_back_after_a_training_that_moved_nothing(rate):
    model = make_block()
    x = batches(1)[0][0]
    with torch.no_grad():
        expected = model(x)
    prepare(model, ops_of_block(), {})
    with torch.no_grad():
        model.eval()(x)
    simulation_of(model).end()
    with torch.no_grad():
        assert torch.equal(model.eval()(x), expected)
