"""Fake quantization: values rounded as integer kernels would, gradients passed through."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inc_core.quant.qparams import QParams, choose_qparams
from inc_core.quant.spec import TensorSpec

__all__ = ["FakeQuantize", "fake_quantize_weight"]

# Batches whose smallest and largest values make the first range, where calibration gave none; the
# range may then be learnt. Short, as activations move while weights are trained.
OBSERVED_BATCHES = 20

# Of the running range that batches are observed into; a batch moves it this far towards its own.
MOMENTUM = 0.1


class FakeQuantize(nn.Module):
    """Rounds one activation tensor to its integers; the range is observed, then learnt.

    ``lo`` and ``hi`` are parameters, so that any optimizer of the model trains them. Scale and zero
    point are chosen by the very function that chooses them for the kernels.

    Args:
        spec: Integer dtype and scheme; one scale per tensor.
        range: To start from, ``(lo, hi)``; else the first batches are observed.
        learned: Whether gradients move the range once it is known; else it follows the batches.
        simulates: Whether values are rounded; else only their range is observed.
    """

    def __init__(
        self,
        spec: TensorSpec,
        range: tuple[float, float] | None = None,
        *,
        learned: bool = True,
        simulates: bool = True,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.learned = learned and simulates
        self.simulates = simulates
        self._known = range is not None
        lo, hi = range or (0.0, 0.0)
        self.lo = nn.Parameter(torch.tensor(lo), requires_grad=self.learned)
        self.hi = nn.Parameter(torch.tensor(hi), requires_grad=self.learned)
        self._left = 0 if range is not None and self.learned else OBSERVED_BATCHES

    @property
    def range(self) -> tuple[float, float] | None:
        """The range so far; ``None`` before the first batch."""
        lo, hi = float(self.lo.detach()), float(self.hi.detach())
        return (min(lo, 0.0), max(hi, 0.0)) if self._known else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the values that integers can hold, float32 of the shape of ``x``."""
        if self.training and (self._left > 0 or not self.learned):
            self._observe(x)
        found = self.range
        if not self.simulates or found is None:
            return x
        qparams = choose_qparams(*found, self.spec)
        bounds = self.spec.qmin, self.spec.qmax
        if self._left > 0 or not self.learned:
            rounded = _RoundActivation.apply(x, None, None, qparams, bounds)
        else:
            # nothing below 0, as behind a ReLU: that end stays where it is
            lo = self.lo if found[0] < 0 else None
            rounded = _RoundActivation.apply(x, lo, self.hi, qparams, bounds)
        assert isinstance(rounded, Tensor)
        return rounded

    @torch.no_grad()
    def _observe(self, x: Tensor) -> None:
        self._left = max(0, self._left - 1)
        lo, hi = torch.aminmax(x.detach())
        if not self._known:
            self._known = True
            self.lo.copy_(lo)
            self.hi.copy_(hi)
        else:
            self.lo.lerp_(lo.to(self.lo), MOMENTUM)
            self.hi.lerp_(hi.to(self.hi), MOMENTUM)

    def extra_repr(self) -> str:
        """Describe the spec."""
        return f"{self.spec}, learned={self.learned}, simulates={self.simulates}"


class _RoundActivation(torch.autograd.Function):
    """Rounds and saturates; the range gets the gradient of the values that it moves.

    Source: Bhalgat et al. 2020, LSQ+ (arXiv:2004.09576), equations 4 to 8, in terms of the ends of
    the range: ``scale = (hi - lo) / levels`` and the value of the smallest integer is ``lo``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        lo: Tensor | None,
        hi: Tensor | None,
        qparams: QParams,
        bounds: tuple[int, int],
    ) -> Tensor:
        scale, zero_point = float(qparams.scale), int(qparams.zero_point)
        steps = x / scale
        q = steps.round().add_(zero_point)
        below, above = q < bounds[0], q > bounds[1]
        ctx.learns, ctx.learns_lo = hi is not None, lo is not None
        inside = ~(below | above)
        if ctx.learns:
            error = (q - zero_point - steps).mul_(inside)
            ctx.save_for_backward(inside, below, above, error)
        else:
            ctx.save_for_backward(inside)
        ctx.levels = bounds[1] - bounds[0]
        return q.clamp_(*bounds).sub_(zero_point).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        if not ctx.learns:
            (inside,) = ctx.saved_tensors
            return gradient * inside, None, None, None, None
        inside, below, above, error = ctx.saved_tensors
        # the gradient scale of LSQ for the step (arXiv:1902.08153, section 2.2); the range is `levels`
        # steps, so that its own is the square of that number larger
        share = ctx.levels**2 / math.sqrt(gradient.numel() * ctx.levels)
        by_rounding = (gradient * error).sum() / ctx.levels
        to_hi = ((gradient * above).sum() + by_rounding) * share
        to_lo = ((gradient * below).sum() - by_rounding) * share if ctx.learns_lo else None
        return gradient * inside, to_lo, to_hi, None, None


def fake_quantize_weight(weight: Tensor, spec: TensorSpec) -> Tensor:
    """Return a weight rounded to its integers, per channel of dimension 0 or per tensor.

    Args:
        weight: Float32, ``(out, ...)``.
        spec: Integer dtype, scheme and granularity, as the kernel's weight has them.
    """
    flat = weight.detach().flatten(1)
    lo, hi = torch.aminmax(flat, dim=1)
    if spec.granularity == "per_tensor":
        lo, hi = lo.min(), hi.max()
    qparams = choose_qparams(lo.numpy(), hi.numpy(), spec)
    scale, zero_point = (
        _spread(np.asarray(array, np.float32), weight)
        for array in (qparams.scale, qparams.zero_point)
    )
    rounded = _RoundWeight.apply(weight, scale, zero_point, (spec.qmin, spec.qmax))
    assert isinstance(rounded, Tensor)
    return rounded


def _spread(array: np.ndarray[Any, Any], weight: Tensor) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor if tensor.dim() == 0 else tensor.reshape(-1, *[1] * (weight.dim() - 1))


class _RoundWeight(torch.autograd.Function):
    """Rounds; the range covers every weight, so that all gradients pass."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, scale: Tensor, zero_point: Tensor, bounds: tuple[int, int]
    ) -> Tensor:
        q = (weight / scale).round_().add_(zero_point).clamp_(*bounds)
        return q.sub_(zero_point).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return gradients[0], None, None, None
