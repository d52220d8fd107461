from __future__ import annotations

import numpy as np
import pytest
import torch

from inc_core.quant.qparams import choose_qparams
from inc_core.quant.spec import TensorSpec
from inc_core.quant.weights import quantize_weight
from inc_torch.training.fake_quant import OBSERVED_BATCHES, FakeQuantize, fake_quantize_weight

ASYM = TensorSpec("uint8", "asym")


@pytest.mark.parametrize("bounds", [(-1.3, 2.6), (0.0, 6.0), (-0.01, 300.0)])
@pytest.mark.parametrize("scheme", ["asym", "sym"])
def test_activations_are_rounded_as_the_core_rounds_them(bounds, scheme):
    spec = TensorSpec("uint8", scheme)
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * bounds[1]
    qparams = choose_qparams(*bounds, spec)
    expected = qparams.dequantize(qparams.quantize(x.numpy()))
    assert np.allclose(FakeQuantize(spec, bounds)(x).detach().numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 3, 3), (7, 1, 5), (1, 1)])
@pytest.mark.parametrize("granularity", ["per_channel", "per_tensor"])
@pytest.mark.parametrize("dtype", ["int8", "int7"])
def test_weights_are_rounded_as_the_core_rounds_them(shape, granularity, dtype):
    spec = TensorSpec(dtype, "sym", granularity)
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    q_weight, qparams = quantize_weight(weight.numpy(), spec, axis=0)
    expected = qparams.dequantize(q_weight)
    assert np.array_equal(fake_quantize_weight(weight, spec).numpy(), expected)


def test_rounding_twice_changes_nothing():
    quantizer = FakeQuantize(ASYM, (-1.0, 3.0))
    once = quantizer(torch.randn(100))
    assert torch.equal(quantizer(once), once)


def test_gradients_pass_where_nothing_is_cut_off():
    x = torch.tensor([-5.0, -0.5, 0.5, 5.0], requires_grad=True)
    FakeQuantize(ASYM, (-1.0, 1.0))(x).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]


def test_the_range_grows_where_cut_off_values_matter():
    quantizer = FakeQuantize(ASYM, (-1.0, 1.0))
    x = torch.tensor([-5.0, 5.0])
    (quantizer(x) - x).pow(2).sum().backward()
    assert quantizer.hi.grad < 0  # a step against the gradient raises it
    assert quantizer.lo.grad > 0


def test_the_gradient_of_the_range_is_that_of_what_is_cut_off():
    quantizer = FakeQuantize(ASYM, (0.0, 1.0))
    x = torch.tensor([3.0, 4.0, 2.0])
    quantizer(x).sum().backward()
    share = 255**2 / np.sqrt(3 * 255)
    assert quantizer.hi.grad.item() == pytest.approx(3 * share, rel=1e-4)
    assert quantizer.lo.grad is None  # nothing is below zero behind a ReLU


def test_an_unknown_range_is_observed_first_and_then_learnt():
    quantizer = FakeQuantize(ASYM).train()
    assert quantizer.range is None
    for _ in range(OBSERVED_BATCHES - 1):
        quantizer(torch.tensor([-1.0, 2.0], requires_grad=True)).sum().backward()
    assert quantizer.hi.grad is None
    quantizer(torch.tensor([-1.0, 2.0]))
    quantizer(torch.tensor([-1.0, 5.0])).sum().backward()
    assert quantizer.hi.grad > 0
    assert quantizer.range == pytest.approx((-1.0, 2.0))


def test_evaluation_moves_no_range():
    quantizer = FakeQuantize(ASYM, learned=False)
    quantizer.train()(torch.tensor([-1.0, 2.0]))
    quantizer.eval()(torch.tensor([-9.0, 9.0]))
    assert quantizer.range == pytest.approx((-1.0, 2.0))


def test_a_range_that_is_not_learnt_follows_the_batches():
    quantizer = FakeQuantize(ASYM, (-1.0, 1.0), learned=False).train()
    quantizer(torch.tensor([-1.0, 11.0]))
    assert quantizer.range == pytest.approx((-1.0, 2.0))
    assert not quantizer.hi.requires_grad


def test_what_is_only_observed_is_not_rounded():
    quantizer = FakeQuantize(ASYM, simulates=False).train()
    x = torch.randn(10)
    assert quantizer(x) is x
    assert quantizer.range is not None
