"""Writing a quantized graph: a copy of the float one that shares its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from inc_torch.naming import op_name
from inc_torch.static.prepare import attribute

if TYPE_CHECKING:
    from inc_torch.weight_only import QuantizedWeight

__all__ = ["Editor", "copied_nodes", "float_dtype", "only_user", "shared_copy"]


def shared_copy(graph: fx.GraphModule) -> fx.GraphModule:
    """Return a graph of its own that reads the same tensors."""
    return fx.GraphModule(graph, copied_nodes(graph))


def copied_nodes(graph: fx.GraphModule) -> fx.Graph:
    """Return a copy of the nodes alone, to be changed before a module is made of them.

    Each module that is made has its code written and compiled: 10 ms for a hundred nodes.
    """
    copied = fx.Graph()
    copied.output(copied.graph_copy(graph.graph, {}))
    return copied


class Editor:
    """Replaces nodes of one graph, which it owns.

    Args:
        module: The graph, such as ``shared_copy`` gives.
        chosen: Weights in few bits, by op name.
    """

    def __init__(
        self, module: fx.GraphModule, chosen: Mapping[str, QuantizedWeight] | None = None
    ) -> None:
        self.module = module
        self.graph = module.graph
        self._chosen = chosen or {}

    def chosen_weight(self, node: fx.Node) -> QuantizedWeight:
        """Return the quantized weight of a weight-only op."""
        return self._chosen[op_name(node)]

    def tensor(self, node: Any) -> Tensor | None:
        """Return the constant that a node reads; ``None`` for ``None``."""
        return None if node is None else attribute(self.module, str(node.target))

    def buffer(self, stem: str, value: Tensor) -> fx.Node:
        """Add a constant and return the node that reads it; insert where the graph stands."""
        name = base = "inc_" + stem.replace(".", "_")
        number = 0
        while hasattr(self.module, name):
            number += 1
            name = f"{base}_{number}"
        self.module.register_buffer(name, value)
        return self.graph.get_attr(name)

    def replace(self, node: fx.Node, target: Any, args: tuple[Any, ...]) -> fx.Node:
        """Put a call in place of a node; it has the node's name."""
        new = self.graph.call_function(target, args)
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        self.graph.erase_node(node)
        return new

    def finish(self, form: type[fx.GraphModule] = fx.GraphModule) -> fx.GraphModule:
        """Return the edited graph, without what is no longer read; as a ``Draft`` for further rewriting."""
        self.graph.eliminate_dead_code()  # which checks it, too
        # a new module copies only what the graph reads
        return form(self.module, self.graph)


def only_user(node: fx.Node) -> fx.Node | None:
    """Return the one node that reads ``node``; ``None`` if there are several or none."""
    users = list(node.users)
    return users[0] if len(users) == 1 else None


def float_dtype(node: fx.Node) -> torch.dtype | None:
    """Return the traced dtype of a node's result; ``None`` if it is not known."""
    value = node.meta.get("val")
    return value.dtype if isinstance(value, torch.Tensor) else None
