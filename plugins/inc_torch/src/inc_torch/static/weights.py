"""Weights of a lowered graph: float ones shared with the source, integer ones made once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from inc_core.errors import QuantizationError
from inc_core.quant.qparams import QParams
from inc_torch.static.config import check_weight
from inc_torch.static.prepare import attribute
from inc_torch.static.zero_points import Zeros

__all__ = ["Weights"]


class Weights:
    """Collects the tensors that the new graph names, and writes the nodes that name them.

    Attributes:
        tensors: By the dotted names under which the new module has them.
    """

    def __init__(self, module: fx.GraphModule, graph: fx.Graph) -> None:
        self.tensors: dict[str, Any] = {}
        self._module, self._graph = module, graph
        self._nodes: dict[str, fx.Node] = {}
        self._quantized: dict[tuple[Any, ...], str] = {}

    def plain(self, node: fx.Node) -> fx.Node:
        """Return the node of an unchanged tensor of the source."""
        return self._named(node.target, attribute(self._module, node.target))

    def quantized(
        self, node: fx.Node, qparams: QParams | None, zeros: Zeros | None = None
    ) -> tuple[fx.Node, fx.Node, fx.Node | None]:
        """Return nodes of the s8 weight, its float32 scales per channel, and the bias or ``None``.

        Args:
            node: A convolution or linear.
            qparams: Of its weight.
            zeros: What the bias does for zero points.

        Raises:
            QuantizationError: If the kernels cannot use the weight's quantization.
        """
        if qparams is None:
            raise QuantizationError(
                f"{node.name!r}: a static op with a weight needs its quantization"
            )
        target = node.args[1].target
        weight: Tensor = attribute(self._module, target)
        check_weight(node.name, qparams, weight.shape[0])
        identity = (target, qparams.dtype, qparams.scale.tobytes())
        stem = self._quantized.setdefault(identity, self._free(target))
        if f"{stem}_int8" not in self.tensors:
            # prepacking reads memory in order, whatever the strides say
            integers = np.ascontiguousarray(qparams.quantize(weight.detach().float().numpy()))
            scales = np.broadcast_to(qparams.scale, weight.shape[:1]).astype(np.float32)
            self.tensors[f"{stem}_int8"] = torch.from_numpy(integers)
            self.tensors[f"{stem}_scale"] = torch.from_numpy(scales.copy())
        return (
            self._named(f"{stem}_int8", self.tensors[f"{stem}_int8"]),
            self._named(f"{stem}_scale", self.tensors[f"{stem}_scale"]),
            self._bias(node, stem, zeros),
        )

    def _bias(self, node: fx.Node, stem: str, zeros: Zeros | None) -> fx.Node | None:
        bias = node.args[2] if len(node.args) > 2 else None
        if zeros is None or (zeros.per_input == 0.0 and zeros.plus == 0.0):
            return None if bias is None else self.plain(bias)
        # float64: the sums of products of integers may be large
        scale = self.tensors[f"{stem}_scale"].double()
        total = self.tensors[f"{stem}_int8"].flatten(1).sum(1, dtype=torch.int64)
        shifted = zeros.plus - zeros.per_input * scale * total
        if bias is not None:
            shifted = shifted + attribute(self._module, bias.target).double()
        return self._named(f"{stem}_bias_of_{node.name}", shifted.float())

    def averaging(self, channels: int, kernel: tuple[int, int]) -> tuple[fx.Node, fx.Node, None]:
        """Return nodes of a depthwise weight that averages its window."""
        stem = f"average_{channels}_{kernel[0]}_{kernel[1]}"
        ones = torch.ones(channels, 1, *kernel, dtype=torch.int8)
        scales = torch.full((channels,), 1.0 / (kernel[0] * kernel[1]))
        return self._named(f"{stem}_int8", ones), self._named(f"{stem}_scale", scales), None

    def _named(self, target: str, tensor: Any) -> fx.Node:
        """Return one node per tensor, written where it is first used."""
        self.tensors.setdefault(target, tensor)
        if target not in self._nodes:
            self._nodes[target] = self._graph.get_attr(target)
        return self._nodes[target]

    def _free(self, target: str) -> str:
        """Return a name that no other quantization of the same weight has."""
        taken = set(self._quantized.values())
        names = [target, *(f"{target}_{number}" for number in range(1, len(taken) + 2))]
        return next(name for name in names if name not in taken)
