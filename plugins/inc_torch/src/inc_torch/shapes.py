"""Shapes of a restored graph's tensors: what tracing knew, worked out again."""

from __future__ import annotations

import torch
from torch import fx

from inc_core.errors import UnsupportedModelError
from inc_torch.editing import shared_copy
from inc_torch.signature import Signature

__all__ = ["ANY", "with_shapes", "with_traced_shapes"]

# for a size that may be any: a number that no layer is likely to have, so that it equals itself alone
ANY = 37


def with_shapes(graph: fx.GraphModule, signature: Signature | None) -> fx.GraphModule:
    """Return a graph whose nodes know their shapes: itself if they do, else after a dry run."""
    known = all("val" in node.meta for node in graph.graph.nodes if node.op == "call_function")
    if known or signature is None or any(not one.shape for one in signature.inputs):
        return graph
    _run_dry(graph, signature)
    return graph


def with_traced_shapes(graph: fx.GraphModule, signature: Signature) -> fx.GraphModule:
    """Return a copy whose nodes know their shapes in numbers, ``ANY`` where any size is accepted.

    Raises:
        UnsupportedModelError: If the model cannot run with such sizes.
    """
    copied = shared_copy(graph)
    try:
        _run_dry(copied, signature)
    except RuntimeError as error:
        raise UnsupportedModelError(f"the shapes of its tensors are not known: {error}") from error
    return copied


def _run_dry(graph: fx.GraphModule, signature: Signature) -> None:
    # seconds to import, and restored models that only run need none of it
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.passes.fake_tensor_prop import FakeTensorProp

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        inputs = [
            torch.empty([ANY if n is None else n for n in one.shape], dtype=one.torch_dtype)
            for one in signature.inputs
        ]
    FakeTensorProp(graph, mode).propagate_dont_convert_inputs(*inputs)
