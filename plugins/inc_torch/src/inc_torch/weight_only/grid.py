"""The grid of a weight: scales and zero points per channel or group, and what is stored on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inc_core.errors import QuantizationError
from inc_core.quant.spec import TensorSpec

__all__ = ["Grid", "QuantizedWeight", "choose_grid", "from_groups", "row_slices", "to_groups"]

# Kernels and file formats store scales in float16; integers are chosen for the rounded scale, so
# that what is tuned is what runs.
_SMALLEST_SCALE = 2.0**-24
_LARGEST_SCALE = 65504.0

# 1 MB of float32: a cache holds it, and an allocator gives it back
_ELEMENTS_AT_ONCE = 2**18


@dataclass(frozen=True)
class Grid:
    """Scale and zero point of each group of a weight ``(N, K)``.

    Attributes:
        scale: float32 with values that float16 holds, ``(N, G)``, positive.
        zero_point: float32 with integer values in ``[qmin, qmax]``, ``(N, G)``.
        qmin: Smallest integer.
        qmax: Largest integer.
        group_size: Inputs per group; ``K`` where a channel is one group.
    """

    scale: Tensor
    zero_point: Tensor
    qmin: int
    qmax: int
    group_size: int

    def column(self, index: int) -> tuple[Tensor, Tensor]:
        """Return scale and zero point of one input for all channels, each ``(N,)``."""
        group = index // self.group_size
        return self.scale[:, group], self.zero_point[:, group]

    def quantize(self, weight: Tensor) -> Tensor:
        """Round ``(N, K)`` to nearest, half to even, and saturate; int8 ``(N, K)``."""
        q_weight = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        for rows in row_slices(weight):
            scale, zero_point = self.of_rows(rows)._spread(weight.shape[1])
            steps = (weight[rows] / scale).round_().add_(zero_point)
            q_weight[rows] = steps.clamp_(self.qmin, self.qmax)
        return q_weight

    def of_rows(self, rows: slice) -> Grid:
        """Return the grid of some channels."""
        return replace(self, scale=self.scale[rows], zero_point=self.zero_point[rows])

    def dequantize(self, q_weight: Tensor) -> Tensor:
        """Return float32 ``(N, K)``."""
        scale, zero_point = self._spread(q_weight.shape[1])
        return (q_weight.float() - zero_point) * scale

    def round(self, weight: Tensor) -> Tensor:
        """Return the value of the nearest point of the grid, float32 ``(N, K)``."""
        return self.dequantize(self.quantize(weight))

    def _spread(self, columns: int) -> tuple[Tensor, Tensor]:
        if self.scale.shape[1] == 1:
            return self.scale, self.zero_point
        index = torch.arange(columns, device=self.scale.device) // self.group_size
        return self.scale[:, index], self.zero_point[:, index]


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight as it is stored: integers on a grid.

    Attributes:
        q_weight: int8 ``(N, K)``.
        grid: Scales and zero points.
        input_scale: float32 ``(K,)`` by which inputs are multiplied first (AWQ, or the weight was
            out of float16's range), or ``None``.
    """

    q_weight: Tensor
    grid: Grid
    input_scale: Tensor | None = None

    def dequantize(self) -> Tensor:
        """Return the float32 weight ``(N, K)`` that acts on unscaled inputs."""
        weight = self.grid.dequantize(self.q_weight)
        return weight if self.input_scale is None else weight * self.input_scale


def choose_grid(weight: Tensor, spec: TensorSpec) -> Grid:
    """Choose the grid that covers every value of a weight.

    Ranges are not clipped: shrinking them to the least squared error, weighted by the inputs' energy
    or not, lowers each layer's error and still raises the loss of whole language models at 2 and
    3 bits, because every layer then shrinks its outputs the same way.

    Args:
        weight: float ``(N, K)``, finite.
        spec: Integer dtype, scheme, and ``per_channel`` or ``per_group`` with ``group_size``.

    Returns:
        The grid; a group of zeros gets scale 1.

    Raises:
        QuantizationError: If the weight is no finite matrix, or ``spec`` asks for something else.
    """
    values = _checked(weight, spec)
    group_size = _group_size(values, spec)
    groups = to_groups(values, group_size)
    lo, hi = groups.amin(-1).clamp(max=0.0), groups.amax(-1).clamp(min=0.0)
    scale, zero_point = _cover(lo, hi, spec)
    return Grid(scale, zero_point, spec.qmin, spec.qmax, group_size)


def row_slices(weight: Tensor) -> Iterator[slice]:
    """Cut a weight into runs of channels, so that what is computed on the way stays small.

    Large temporaries between results that stay would fragment the heap: a model of many large layers
    would take several times its size.
    """
    step = max(1, _ELEMENTS_AT_ONCE // max(weight.shape[1], 1))
    return (slice(start, start + step) for start in range(0, len(weight), step))


def to_groups(weight: Tensor, group_size: int) -> Tensor:
    """Cut ``(N, K)`` into ``(N, G, group_size)``; the last group is filled up with zeros."""
    missing = -weight.shape[1] % group_size
    padded = torch.nn.functional.pad(weight, (0, missing)) if missing else weight
    return padded.reshape(weight.shape[0], -1, group_size)


def from_groups(groups: Tensor, columns: int) -> Tensor:
    """Inverse of ``to_groups``: ``(N, G, group_size)`` to ``(N, columns)``."""
    return groups.reshape(groups.shape[0], -1)[:, :columns]


def _checked(weight: Tensor, spec: TensorSpec) -> Tensor:
    if weight.dim() != 2 or weight.numel() == 0 or not torch.isfinite(weight).all():
        raise QuantizationError(
            f"a weight must be a finite matrix, received shape {tuple(weight.shape)}"
            + ("" if weight.dim() != 2 or weight.numel() == 0 else " with NaN or infinite values")
        )
    if spec.granularity == "per_group" and not spec.group_size:
        raise QuantizationError(f"per_group needs a group_size, received {spec}")
    return weight.float()


def _group_size(weight: Tensor, spec: TensorSpec) -> int:
    columns = int(weight.shape[1])
    return min(spec.group_size or columns, columns) if spec.granularity == "per_group" else columns


def _cover(lo: Tensor, hi: Tensor, spec: TensorSpec) -> tuple[Tensor, Tensor]:
    """Return scale and zero point of ranges that include 0. Source: arXiv:1712.05877, section 2.1."""
    if spec.scheme == "sym":
        scale = _stored(torch.maximum(-lo, hi) / spec.qmax)
        return scale, torch.zeros_like(scale)
    scale = _stored((hi - lo) / (spec.qmax - spec.qmin))
    return scale, torch.round(spec.qmin - lo / scale).clamp(spec.qmin, spec.qmax)


def _stored(scale: Tensor) -> Tensor:
    """Return what float16 keeps of the scale; 1 where it is 0."""
    if scale.max() > _LARGEST_SCALE:
        raise QuantizationError(
            f"a scale of {scale.max():.3g} exceeds float16 ({_LARGEST_SCALE:g}); keep this op float"
        )
    kept = scale.clamp(min=_SMALLEST_SCALE).half().float()
    return torch.where(scale == 0, torch.ones_like(kept), kept)
