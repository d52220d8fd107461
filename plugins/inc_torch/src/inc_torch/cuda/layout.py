"""How packed weights lie on a GPU: every output's inputs one after another, so that threads read 16 bytes.

A ``state_dict`` and a file hold the layouts of ``inc_torch.kernels.packing``, made for CPUs. The copy of a
model that runs on a GPU has its weights turned once: two dimensions instead of four say that it is done.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, fx

__all__ = ["ALIGNMENT", "half_of", "int4_grid", "int4_matrix", "int8_matrix", "turn_weights"]

ALIGNMENT = 16
"""Rows begin at multiples of this many bytes: what one thread reads at once."""

# The two codes of a byte are so many inputs apart at most: a tile of either half is then read in order.
_LONGEST_HALF = 64


def half_of(group_size: int) -> int:
    """Return how many inputs the two codes of a byte are apart: half of a chunk that groups are made of."""
    return gcd(group_size, 2 * _LONGEST_HALF) // 2


def int8_matrix(packed: Tensor) -> Tensor:
    """Turn ``Int8Weight.packed`` into int8 ``(N64, K16)``: by output, inputs padded with zeros."""
    if packed.dim() == 2:
        return packed
    panels, quads = packed.shape[:2]
    rows = packed.permute(0, 2, 1, 3).reshape(panels * 64, quads * 4)
    return torch.nn.functional.pad(rows, (0, -rows.shape[1] % ALIGNMENT)).contiguous()


def int4_matrix(packed: Tensor, group_size: int) -> Tensor:
    """Turn ``Int4Weight.packed`` into uint8 ``(N64, K / 2)``.

    Inputs come in chunks of ``2 * half_of(group_size)``: byte ``j`` of a chunk holds input ``j`` in its low
    half and input ``half + j`` in its high half.
    """
    if packed.dim() == 2:
        return packed
    half = half_of(group_size)
    codes = torch.stack([packed & 15, packed >> 4], 2)  # (N64 / 32, K / 8, 2, 32, 4)
    rows = codes.permute(0, 3, 1, 2, 4).reshape(packed.shape[0] * 32, -1, 2, half)
    return (rows[:, :, 0] | rows[:, :, 1] << 4).reshape(rows.shape[0], -1).contiguous()


def int4_grid(scales: Tensor, zero_points: Tensor | None) -> Tensor:
    """Put scale and zero point of each group into one word that a thread reads ahead: int32 ``(G, N64)``.

    The low half holds the bits of the float16 scale, the high half the zero point.
    """
    if scales.dtype == torch.int32:
        return scales
    words = scales.view(torch.int16).to(torch.int32) & 0xFFFF
    return words | (8 << 16 if zero_points is None else zero_points.to(torch.int32) << 16)


def turn_weights(graph: fx.GraphModule) -> None:
    """Turn the packed weights that a graph reads, which it must own."""
    for node in graph.graph.nodes:
        if node.target is torch.ops.inc.dynamic_linear.default:
            _set(graph, node.args[1], int8_matrix(_get(graph, node.args[1])))
        elif node.target is torch.ops.inc.int4_linear.default:
            matrix, scales, zero_points = node.args[1:4]
            zeros = None if zero_points is None else _get(graph, zero_points)
            _set(graph, matrix, int4_matrix(_get(graph, matrix), node.args[7]))
            _set(graph, scales, int4_grid(_get(graph, scales), zeros))
            node.update_arg(3, None)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _get(graph: fx.GraphModule, node: fx.Node) -> Tensor:
    holder, name = _place(graph, node)
    return getattr(holder, name)


def _set(graph: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    holder, name = _place(graph, node)
    setattr(holder, name, value)


def _place(graph: fx.GraphModule, node: fx.Node) -> tuple[torch.nn.Module, str]:
    path, _, name = str(node.target).rpartition(".")
    return graph.get_submodule(path), name
