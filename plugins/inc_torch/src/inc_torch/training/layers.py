"""Layers that compute as their integer kernels would while a model is trained.

The user's own layers become them by a change of class and back: a layer keeps its identity, its
parameters, and its place in the model and in optimizers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from inc_core.quant.spec import TensorSpec
from inc_torch.training.fake_quant import FakeQuantize, fake_quantize_weight

__all__ = ["BATCH_NORM_STEPS", "QUANTIZABLE", "simulate", "stop_simulating"]

# Steps in which batch statistics still follow the weights; afterwards the running ones hold, as they
# will when the model is used. Long enough to forget the float model's (momentum 0.1), and short
# enough that the rest of the training sees what the kernels compute.
BATCH_NORM_STEPS = 100

# Below this a channel's batch norm switches it off; dividing by it would give infinite weights.
SMALLEST_FACTOR = 1e-8


class _Simulated:
    """What the simulated layers share; a mixin of classes of ``torch.nn``."""

    inc_input: FakeQuantize
    inc_weight_spec: TensorSpec
    inc_norm: nn.Module | None
    weight: Tensor
    bias: Tensor | None

    def _rounded(self) -> Tensor:
        """Return the weight as the kernel has it: a batch norm behind it is folded in meanwhile."""
        weight, norm = self.weight, self.inc_norm
        if norm is None:
            return fake_quantize_weight(weight, self.inc_weight_spec)
        factor = _factor(norm).reshape(-1, *[1] * (weight.dim() - 1))
        return fake_quantize_weight(weight * factor, self.inc_weight_spec) / factor


class _SimulatedLinear(_Simulated, nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(self.inc_input(input), self._rounded(), self.bias)


class _SimulatedConv1d(_Simulated, nn.Conv1d):
    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(self.inc_input(input), self._rounded(), self.bias)


class _SimulatedConv2d(_Simulated, nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(self.inc_input(input), self._rounded(), self.bias)


class _SettlingNorm(nn.modules.batchnorm._BatchNorm):
    """What the simulated batch norms share: statistics stand still after some steps of the training."""

    inc_steps: int

    def forward(self, input: Tensor) -> Tensor:
        """Normalize by the batch at first, later by the running statistics."""
        if self.training:
            self.inc_steps += 1
        if not self.training or self.inc_steps <= BATCH_NORM_STEPS:
            return super().forward(input)
        return functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


# of the user's own kind, which scripts look for that freeze norms themselves
class _SimulatedBatchNorm1d(_SettlingNorm, nn.BatchNorm1d):
    pass


class _SimulatedBatchNorm2d(_SettlingNorm, nn.BatchNorm2d):
    pass


# exact classes: a subclass of the user's may compute something else
QUANTIZABLE: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: _SimulatedLinear,
    nn.Conv1d: _SimulatedConv1d,
    nn.Conv2d: _SimulatedConv2d,
}
_NORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: _SimulatedBatchNorm1d,
    nn.BatchNorm2d: _SimulatedBatchNorm2d,
}
_PLAIN = "inc_plain_class"


def simulate(layer: nn.Module, quantizer: FakeQuantize, weight: TensorSpec) -> None:
    """Make a layer round its input and weight.

    Args:
        layer: Of a class in ``QUANTIZABLE``.
        quantizer: Of the tensor that it reads; layers that read the same one share it.
        weight: The spec of its integer weight.
    """
    _become(layer, QUANTIZABLE[type(layer)])
    layer.inc_input = quantizer
    layer.inc_weight_spec = weight
    layer.__dict__["inc_norm"] = None


def fold_norm(layer: nn.Module, norm: nn.Module) -> None:
    """Round the weight of a simulated conv as it will be with the batch norm behind it folded in."""
    if type(norm) in _NORMS and getattr(norm, "running_var", None) is not None:
        _become(norm, _NORMS[type(norm)])
        norm.inc_steps = 0
        # not registered: it has its own place in the model
        layer.__dict__["inc_norm"] = norm


def stop_simulating(model: nn.Module) -> None:
    """Give every layer of a model its own class back."""
    for layer in model.modules():
        plain = layer.__dict__.pop(_PLAIN, None)
        if plain is None:
            continue
        layer.__class__ = plain
        layer._modules.pop("inc_input", None)
        for name in ("inc_weight_spec", "inc_norm", "inc_steps"):
            layer.__dict__.pop(name, None)


def _become(layer: nn.Module, simulated: type[nn.Module]) -> None:
    layer.__dict__[_PLAIN] = type(layer)
    layer.__class__ = simulated


def _factor(norm: nn.Module) -> Tensor:
    """Return by what a batch norm multiplies each channel, without gradient: ``(C,)``."""
    variance: Any = norm.running_var
    gain: Any = norm.weight
    epsilon: Any = norm.eps
    factor = torch.rsqrt(variance + epsilon)
    if gain is not None:
        factor = factor * gain.detach()
    sign = torch.where(factor < 0, -1.0, 1.0)
    return sign * factor.abs().clamp_min(SMALLEST_FACTOR)
