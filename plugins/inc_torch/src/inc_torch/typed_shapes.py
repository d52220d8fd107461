"""Shapes of a restored graph's tensors: what tracing knew, worked out again."""

from __future__ import annotations

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from inc_torch.signature import Signature

__all__ = ["remember_shapes"]

# for a size that may be any: a number that no layer is likely to have, so that it is equal to itself alone
_ANY = 37


def remember_shapes(graph: fx.GraphModule, signature: Signature | None) -> fx.GraphModule:
    """Run a graph without numbers, so that each node knows its shape and dtype; return it."""
    if signature is None:
        return graph
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        inputs = [
            torch.empty(
                [_ANY if size is None else size for size in one.shape], dtype=one.torch_dtype
            )
            for one in signature.inputs
        ]
    FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*inputs)
    return graph
