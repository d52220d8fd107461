"""The first conv of an image model: over 3 channels, for which the runtime has no fast kernel.

MLAS convolves integers directly if the input channels are a multiple of 4; else it first copies every
window. Both ways to get there are exact: a channel of zeros more, or each block of 2 x 2 pixels as the
channels of one, which is what a conv of stride 2 moves by.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from onnx import NodeProto, helper

from inc_onnx.graph import Graph
from inc_onnx.writer import GraphWriter, QuantizedTensor

__all__ = ["Fold", "find_fold", "fold_input", "pad_channels", "set_attributes"]

Array = np.ndarray[Any, Any]

# of MLAS's direct kernel: input channels in multiples of 4, at least 16 output channels in multiples of 4
_CHANNEL_STEP = 4
_LEAST_OUTPUT_CHANNELS = 16
# Over a channel of zeros more a 3x3 conv is 1.2 to 1.8 times as fast as over 3 channels, 5x5 1.0 to 1.3
# times; 7x7 is slower in batches of 4 and more. Over blocks 5x5 gains 1.3 to 1.6 times and 7x7 1.2 to 1.4,
# 3x3 no more than by the channel (AVX512-VNNI, stride 2, 224 x 224, batches of 1 to 32).
_MOST_TAPS_TO_PAD = 25
_LEAST_TAPS_TO_FOLD = 25
_BLOCK = 2


class Fold(NamedTuple):
    """A conv of stride 2 as one of stride 1 over blocks of 2 x 2 pixels.

    Attributes:
        leads: Rows and columns of zeros before the kernel, so that it begins with a block.
        kernel_shape: Height and width in blocks.
        pads: In blocks, in the order of ONNX: both begins, both ends.
    """

    leads: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def attributes(self) -> dict[str, list[int]]:
        """What changes in the node."""
        kernel, pads = list(self.kernel_shape), list(self.pads)
        return {"kernel_shape": kernel, "pads": pads, "strides": [1] * len(kernel)}

    def weight(self, q_weight: Array) -> Array:
        """Return the weight over blocks: ``(O, C, h, w)`` becomes ``(O, 4 C, kernel_shape)``."""
        out, channels, *kernel = q_weight.shape
        sizes = [_BLOCK * size for size in self.kernel_shape]
        widths = [
            (lead, size - lead - taps)
            for lead, size, taps in zip(self.leads, sizes, kernel, strict=True)
        ]
        padded = np.pad(q_weight, [(0, 0), (0, 0), *widths])
        height, width = self.kernel_shape
        blocks = padded.reshape(out, channels, height, _BLOCK, width, _BLOCK)
        # the order of SpaceToDepth: row in the block, column in the block, channel
        folded = blocks.transpose(0, 3, 5, 1, 2, 4)
        return folded.reshape(out, _BLOCK**2 * channels, height, width)


def find_fold(writer: GraphWriter, node: NodeProto) -> Fold | None:
    """Return how a conv works over blocks; ``None`` where that is impossible or gains nothing.

    Its input must be float and its own, so that no integers have to be moved: runtimes before 1.20 have
    ``SpaceToDepth`` for floats alone.
    """
    graph, tensor = writer.source, node.input[0]
    weight, shape = graph.shape(node.input[1]) or (), graph.shape(tensor) or ()
    if len(weight) != 4 or len(shape) != 4 or not _is_slow(graph, node):
        return None
    kernel, sizes = [int(size or 0) for size in weight[2:]], shape[2:]
    is_own = len(graph.consumers(tensor)) == 1 and not writer.is_integer(tensor)
    if not is_own or graph.is_constant(tensor) or math.prod(kernel) < _LEAST_TAPS_TO_FOLD:
        return None
    plain = (
        Graph.attribute(node, "auto_pad", "NOTSET") == "NOTSET"
        and list(Graph.attribute(node, "strides", [1, 1])) == [_BLOCK] * 2
        and set(Graph.attribute(node, "dilations", [1])) == {1}
    )
    if not plain or not all(size and size % _BLOCK == 0 for size in sizes):
        return None
    pads = Graph.attribute(node, "pads", [0] * 4)
    axes = [
        _fold_axis(int(size or 0), taps, begin, end)
        for size, taps, begin, end in zip(sizes, kernel, pads[:2], pads[2:], strict=True)
    ]
    leads, folded, begins, ends = zip(*axes, strict=True)
    return Fold(leads, folded, (*begins, *ends))


def fold_input(writer: GraphWriter, node: NodeProto) -> QuantizedTensor:
    """Return the blocks of a conv's float input, as integers."""
    blocks = writer.graph.fresh(f"{node.input[0]}_blocks")
    writer.graph.add_node("SpaceToDepth", [node.input[0]], [blocks], blocksize=_BLOCK)
    return writer.quantized_copy(node.input[0], blocks)


def pad_channels(
    writer: GraphWriter, node: NodeProto, x: QuantizedTensor, q_weight: Array
) -> tuple[QuantizedTensor, Array]:
    """Add channels of zeros to a conv's input and weight, where that pays."""
    if not _is_slow(writer.source, node) or math.prod(q_weight.shape[2:]) > _MOST_TAPS_TO_PAD:
        return x, q_weight
    missing = -q_weight.shape[1] % _CHANNEL_STEP
    pads = np.zeros(2 * q_weight.ndim, np.int64)
    pads[q_weight.ndim + 1] = missing
    amount = writer.constant(("pads", pads.tobytes()), f"{node.name}_pads", pads)
    name = writer.graph.fresh(f"{x.name}_aligned")
    writer.graph.add_node("Pad", [x.name, amount, x.zero_point], [name])
    aligned = QuantizedTensor(name, x.scale, x.zero_point, x.qparams)
    widths = [(0, 0)] * q_weight.ndim
    widths[1] = (0, missing)
    return aligned, np.pad(q_weight, widths)


def set_attributes(node: NodeProto, changes: dict[str, Any]) -> None:
    """Change attributes of a node, or add them."""
    kept = [attribute for attribute in node.attribute if attribute.name not in changes]
    made = [helper.make_attribute(name, value) for name, value in changes.items()]
    del node.attribute[:]
    node.attribute.extend([*kept, *made])


def _is_slow(graph: Graph, node: NodeProto) -> bool:
    """Whether the direct kernel would run a conv, were it not for its input channels."""
    out, inside = (graph.shape(node.input[1]) or (0, 0))[:2]
    fits = (out or 0) >= _LEAST_OUTPUT_CHANNELS and (out or 0) % _CHANNEL_STEP == 0
    return fits and bool((inside or 0) % _CHANNEL_STEP) and Graph.attribute(node, "group", 1) == 1


def _fold_axis(size: int, taps: int, begin: int, end: int) -> tuple[int, int, int, int]:
    """Return leading zeros, and in blocks the taps and both pads of one dimension of even size."""
    results = (size + begin + end - taps) // _BLOCK + 1
    lead = begin % _BLOCK
    folded, first = -(-(taps + lead) // _BLOCK), (begin + lead) // _BLOCK
    return lead, folded, first, results - 1 + folded - first - size // _BLOCK
