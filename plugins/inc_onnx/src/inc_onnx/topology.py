"""How values flow through a float graph: what only moves them, what fuses, which tensor is which key."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnxruntime as ort
from onnx import NodeProto

from inc_core.quant.spec import TensorKey
from inc_onnx.graph import Graph

__all__ = [
    "fused_activation",
    "is_transformer",
    "moved_input",
    "output_tensor",
    "source_tensor",
    "tensor_key",
    "upstream",
]

# ops whose outputs hold only values of their first input, and which ONNX Runtime runs on uint8 too
_MOVES = frozenset(
    {
        "MaxPool",
        "Reshape",
        "Transpose",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Split",
        "Expand",
    }
)
# and since which version of it others run so
_MOVES_SINCE = {"DepthToSpace": (1, 21)}
_FUSES_ACTIVATION = frozenset({"Conv", "Gemm", "MatMul", "Add", "Mul"})


def moved_input(graph: Graph, node: NodeProto) -> str | None:
    """Return the tensor whose values a node only moves (a pass-through op); ``None`` for other ops."""
    if not _moves(node.op_type) or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "MaxPool" and (len(node.output) > 1 or graph.opset < 12):
        return None  # indices make no sense of uint8; uint8 itself came with opset 12
    return str(node.input[0]) if graph.is_float(node.input[0]) else None


def _moves(op_type: str) -> bool:
    since = _MOVES_SINCE.get(op_type)
    if since is None:
        return op_type in _MOVES
    return tuple(map(int, ort.__version__.split(".")[:2])) >= since


def source_tensor(graph: Graph, tensor: str) -> str:
    """Return the tensor from which ``tensor`` was only moved, itself if it was computed."""
    producer = graph.producer(tensor)
    moved = None if producer is None else moved_input(graph, producer)
    return tensor if moved is None else source_tensor(graph, moved)


def fused_activation(graph: Graph, node: NodeProto) -> NodeProto | None:
    """Return the ``Relu`` or ``Clip`` behind a node that saturation of the quantized output replaces.

    The range that is observed behind the activation lies inside its bounds, so that an integer
    output clipped to this range needs no activation of its own.
    """
    if node.op_type not in _FUSES_ACTIVATION:
        return None
    following = graph.only_consumer(node.output[0])
    if following is None or following.input[0] != node.output[0]:
        return None
    if following.op_type == "Relu" or _clips_from_zero(graph, following):
        return following
    return None


def _clips_from_zero(graph: Graph, node: NodeProto) -> bool:
    """Whether a node clips to ``[0, constant]``, as Relu6 does."""
    if node.op_type != "Clip":
        return False
    lo, hi = clip_bounds(graph, node)
    return lo == 0.0 and hi is not None and hi > 0.0


def clip_bounds(graph: Graph, node: NodeProto) -> tuple[float | None, float | None]:
    """Return the bounds of a ``Clip``; ``None`` where one is computed."""
    if graph.opset < 11:
        lo = graph.attribute(node, "min", -np.inf)
        return float(lo), float(graph.attribute(node, "max", np.inf))
    bounds = [*node.input[1:3], "", ""][:2]
    lo, hi = (
        default if not name else graph.scalar(name)
        for name, default in zip(bounds, (-np.inf, np.inf), strict=True)
    )
    return lo, hi


def output_tensor(graph: Graph, node: NodeProto) -> str:
    """Return the tensor that a node gives when quantized: behind its fused activation."""
    activation = fused_activation(graph, node)
    return str((activation or node).output[0])


def tensor_key(graph: Graph, tensor: str) -> TensorKey:
    """Return the key under which a tensor is observed."""
    producer = graph.producer(tensor)
    if producer is None:
        return TensorKey(tensor)
    port = list(producer.output).index(tensor)
    return TensorKey(producer.name, str(port) if port else "")


def upstream(graph: Graph, tensor: str, depth: int) -> Iterator[NodeProto]:
    """Yield the nodes that a tensor is computed from, at most ``depth`` steps away."""
    producer = graph.producer(tensor)
    if producer is None or depth == 0:
        return
    yield producer
    for name in producer.input:
        yield from upstream(graph, name, depth - 1)


def is_transformer(graph: Graph) -> bool:
    """Whether the graph has attention: a ``Softmax`` whose result is multiplied with a matrix."""
    return any(
        consumer.op_type == "MatMul"
        for node in graph.nodes
        if node.op_type == "Softmax"
        for consumer in graph.consumers(source_tensor_forward(graph, node.output[0]))
    ) or any(node.op_type in _ATTENTION for node in graph.nodes)


_ATTENTION = frozenset({"Attention", "MultiHeadAttention", "GroupQueryAttention", "QAttention"})


def source_tensor_forward(graph: Graph, tensor: str) -> str:
    """Return the tensor behind a ``Dropout``, ``Cast`` or ``Where`` of one reader, else itself."""
    following = graph.only_consumer(tensor)
    if following is not None and following.op_type in ("Dropout", "Cast", "Identity"):
        return source_tensor_forward(graph, following.output[0])
    return tensor
