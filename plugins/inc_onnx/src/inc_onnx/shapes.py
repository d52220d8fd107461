"""Shape inference that never copies weights, and what its dynamic shapes are for one batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

from inc_onnx.graph import Graph

__all__ = ["shape_at", "sizes_of", "with_shapes"]

# shape arithmetic reads the values of small initializers; of large ones it needs only the shape
_SMALL_ELEMENTS = 512


def with_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``proto`` itself, with the shapes and types of all tensors written into it."""
    outline = _outline(proto)
    try:
        inferred = shape_inference.infer_shapes(outline, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        inferred = outline  # unknown custom ops or wrong declarations: go on with what is declared
    known = {t.name for t in proto.graph.initializer}
    known.update(i.name for i in proto.graph.input)
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(i for i in inferred.graph.value_info if i.name not in known)
    return proto


def sizes_of(graph: Graph, arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, int]:
    """Return the dynamic dimensions of the inputs by name, ``""`` for those without.

    Args:
        graph: Whose inputs they are.
        arrays: One batch, by input.
    """
    return {
        dim: size
        for name, array in arrays.items()
        for dim, size in zip(graph.named_shape(name) or (), array.shape, strict=False)
        if isinstance(dim, str)
    }


def shape_at(graph: Graph, tensor: str, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """Return a tensor's shape given dynamic dimensions by name; ``None`` if one is not known."""
    named = graph.named_shape(tensor)
    if named is None:
        return None
    dims = [dim if isinstance(dim, int) else sizes.get(dim, -1) if dim else -1 for dim in named]
    return None if -1 in dims else tuple(dims)


def _outline(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every large initializer replaced by an input of its shape."""
    outline = onnx.ModelProto()
    outline.ir_version = proto.ir_version
    outline.opset_import.extend(proto.opset_import)
    outline.functions.extend(proto.functions)
    outline.graph.name = "outline"
    outline.graph.node.extend(proto.graph.node)
    outline.graph.input.extend(proto.graph.input)
    outline.graph.output.extend(proto.graph.output)
    outline.graph.value_info.extend(proto.graph.value_info)
    given = {i.name for i in proto.graph.input}
    for tensor in proto.graph.initializer:
        is_small = math.prod(tensor.dims) <= _SMALL_ELEMENTS
        if is_small and tensor.data_location != TensorProto.EXTERNAL:
            outline.graph.initializer.append(tensor)
        elif tensor.name not in given:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            outline.graph.input.append(info)
    return outline
