"""Small steps of graph rewriting that the forms of a lowered graph share."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, fx

__all__ = ["Draft", "copy_graph", "named_arguments", "put_constant"]


class Draft(fx.GraphModule):
    """A graph between two rewritings: it is read and changed, never run.

    Code is written and compiled for each ``GraphModule`` that is made, 10 ms for a hundred nodes; a model
    passes through half a dozen of rewritings.
    """

    def recompile(self) -> None:  # type: ignore[override]
        """Make no code."""


def copy_graph(module: fx.GraphModule) -> Draft:
    """Return a graph of its own that reads the same tensors and submodules."""
    graph = fx.Graph()
    graph.set_codegen(module.graph._codegen)
    graph.output(graph.graph_copy(module.graph, {}))
    return Draft(module, graph)


def named_arguments(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of a call of ``inc_torch.static.ops`` by parameter, defaults included."""
    bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def put_constant(module: fx.GraphModule, name: str, tensor: Tensor) -> fx.Node:
    """Give a graph module one more tensor and return a node that names it, at the insertion point."""
    if not hasattr(module, name):
        module.register_buffer(name, tensor)
    return module.graph.get_attr(name)
