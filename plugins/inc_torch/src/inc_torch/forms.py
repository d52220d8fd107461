"""Two forms of a quantized graph: plain, which is saved and rewritten, and fast, which runs."""

from __future__ import annotations

from torch import fx, nn

from inc_torch.static import StaticModule
from inc_torch.static import ops as static_ops

__all__ = ["fast_form", "plain_form"]

_STATIC = frozenset(getattr(static_ops, name) for name in static_ops.__all__)


def fast_form(graph: fx.GraphModule) -> nn.Module:
    """Return what runs a graph fast: weights packed for the processor, where it has static ops."""
    is_static = any(node.target in _STATIC for node in graph.graph.nodes if node.op != "get_attr")
    return StaticModule(graph) if is_static else graph


def plain_form(body: nn.Module) -> fx.GraphModule:
    """Inverse of ``fast_form``."""
    plain = body.lowered if isinstance(body, StaticModule) else body
    assert isinstance(plain, fx.GraphModule)
    return plain
