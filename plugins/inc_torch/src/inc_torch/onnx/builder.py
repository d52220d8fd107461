"""``Builder``: an ONNX graph in the making, and the values that a graph of torch passes around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["Builder", "Size", "array_of", "onnx_type"]

# of ONNX: the first that has LayerNormalization; every tool of today reads it
OPSET = 17
# of the file format that came with that opset
IR_VERSION = 8

_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.FLOAT,  # runtimes compute in it on few processors: float32 holds it all
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.int16: TensorProto.INT16,
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
    torch.bool: TensorProto.BOOL,
}


@dataclass(frozen=True)
class Size:
    """A number that is known when the model runs: the name of an int64 tensor without dimensions."""

    name: str


def onnx_type(dtype: torch.dtype) -> int:
    """Return the ONNX type that holds a dtype of torch."""
    return int(_TYPES[dtype])


def array_of(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return a tensor as an array in the order of its dimensions."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return tensor.contiguous(memory_format=torch.contiguous_format).numpy()


class Builder:
    """Collects nodes and constants; every tensor gets a name of its own."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self._constants: dict[str, np.ndarray[Any, Any]] = {}
        self._small: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._taken: set[str] = set()
        self._prefix = "node"

    def about(self, name: str) -> None:
        """Name what follows after an op of the model."""
        self._prefix = name

    def fresh(self, stem: str) -> str:
        """Return a name like ``stem`` that nothing has."""
        name, number = stem, 0
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name

    def constant(self, value: Any, name: str = "") -> str:
        """Return the name of a constant; small unnamed ones are kept once."""
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes()) if not name else None
        if key is not None and key in self._small:
            return self._small[key]
        found = self.fresh(name or "constant")
        self._constants[found] = array
        if key is not None:
            self._small[key] = found
        return found

    def integers(self, values: Sequence[int]) -> str:
        """Return a constant int64 vector."""
        return self.constant(np.asarray(values, np.int64))

    def call(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its result."""
        (result,) = self.call_many(op, 1, *inputs, **attributes)
        return result

    def call_many(self, op: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node of several results and return their names."""
        results = [self.fresh(self._prefix) for _ in range(count)]
        node = helper.make_node(op, list(inputs), results, name=results[0], **attributes)
        self.nodes.append(node)
        return results

    def rename(self, old: str, new: str) -> None:
        """Add a result of the model: what is called ``old`` under the name ``new``."""
        self.nodes.append(helper.make_node("Identity", [old], [new], name=f"{new}_output"))

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the finished model, with the constants that are read."""
        used = {name for node in self.nodes for name in node.input}
        tensors = [
            numpy_helper.from_array(array, name)
            for name, array in self._constants.items()
            if name in used
        ]
        graph = helper.make_graph(self.nodes, "model", inputs, outputs, tensors)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="inc-torch"
        )
