"""``Translation``: one walk over a graph of torch that writes the same in ONNX."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from inc_core.errors import UnsupportedModelError
from inc_torch.naming import op_name
from inc_torch.onnx.builder import Builder, Size, array_of, onnx_type
from inc_torch.static.prepare import attribute

__all__ = ["Translate", "Translation", "numpy_type"]

# gives the result of a node: the name of a tensor, a number, or a list of these
Translate = Callable[["Translation", fx.Node], Any]


def numpy_type(dtype: torch.dtype) -> np.dtype[Any]:
    """Return the dtype of numpy that holds a dtype of torch."""
    return array_of(torch.empty(0, dtype=dtype)).dtype


class Translation:
    """What is written so far, and what the table's functions need to go on.

    Args:
        graph: Its nodes know their shapes (``meta["val"]``).
        table: By what a node calls.

    Attributes:
        build: Receives nodes and constants.
    """

    def __init__(self, graph: fx.GraphModule, table: Mapping[Any, Translate]) -> None:
        self.build = Builder()
        self._graph, self._table = graph, table
        self._values: dict[fx.Node, Any] = {}

    def run(self, inputs: Sequence[str]) -> list[str]:
        """Translate all nodes; return the names of the outputs.

        Args:
            inputs: Names of the model's inputs in order.

        Raises:
            UnsupportedModelError: If there are nodes without a translation; it names all of them.
        """
        self._refuse_unknown()
        names = iter(inputs)
        outputs: list[str] = []
        for node in self._graph.graph.nodes:
            if node.op == "placeholder":
                self._values[node] = self.build.fresh(next(names))
            elif node.op == "call_function":
                self.build.about(op_name(node))
                self._values[node] = self._table[node.target](self, node)
            elif node.op == "output":
                outputs = [self.tensor(one) for one in node.args[0]]
        return outputs

    def _refuse_unknown(self) -> None:
        unknown: dict[str, str] = {}
        for node in self._graph.graph.nodes:
            if node.op == "call_function" and node.target not in self._table:
                unknown.setdefault(str(node.target), op_name(node))
        if unknown:
            listed = ", ".join(f"{target} (op {name!r})" for target, name in unknown.items())
            raise UnsupportedModelError(
                f"the model cannot be exported to ONNX: there is no translation of {listed}"
            )

    # -- reading -----------------------------------------------------------------------------

    def arguments(self, node: fx.Node) -> dict[str, Any]:
        """Return what a node is called with by parameter, defaults included, nodes not looked up."""
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)
            bound.apply_defaults()
            return dict(bound.arguments)
        names = [one.name for one in schema.arguments]
        defaults = {
            one.name: one.default_value for one in schema.arguments if one.has_default_value()
        }
        return {**defaults, **dict(zip(names, node.args, strict=False)), **node.kwargs}

    def value(self, argument: Any) -> Any:
        """Return what an argument is in ONNX: of a node its result, anything else as it is."""
        if not isinstance(argument, fx.Node):
            return argument
        if argument.op == "get_attr" and argument not in self._values:
            target = str(argument.target)
            constant = array_of(attribute(self._graph, target))
            self._values[argument] = self.build.constant(constant, target)
        return self._values[argument]

    def array(self, argument: fx.Node | None) -> np.ndarray[Any, Any] | None:
        """Return the constant that a node reads from the model's state."""
        if argument is None:
            return None
        return array_of(attribute(self._graph, str(argument.target)))

    def stem(self, argument: fx.Node) -> str:
        """Return the name of a constant of the model's state."""
        return str(argument.target)

    def tensor(self, argument: Any, dtype: torch.dtype | None = None) -> str:
        """Return the name of a tensor, of ``dtype`` if one is given; a number becomes a constant."""
        value = self.value(argument)
        if isinstance(value, Size):
            is_other = dtype not in (None, torch.int64)
            return self.cast(value.name, dtype) if is_other and dtype else value.name
        if not isinstance(value, str):
            return self.build.constant(np.asarray(value, numpy_type(dtype or _own(value))))
        own = self.dtype(argument)
        if dtype is None or own is None or onnx_type(own) == onnx_type(dtype):
            return value
        return self.cast(value, dtype)

    def dtype(self, argument: Any) -> torch.dtype | None:
        """Return the dtype of a tensor; ``None`` for a number."""
        found = argument.meta.get("val") if isinstance(argument, fx.Node) else None
        return found.dtype if isinstance(found, torch.Tensor) else None

    def result_type(self, *arguments: Any) -> torch.dtype:
        """Return in which dtype torch computes with these together."""
        found = torch.result_type(*[self._like(one) for one in arguments[:2]])
        return found

    def rank(self, node: fx.Node) -> int:
        """Return how many dimensions a tensor has."""
        return int(node.meta["val"].dim())

    def width(self, node: fx.Node) -> int:
        """Return the size of a tensor's last dimension."""
        return int(node.meta["val"].shape[-1])

    def _like(self, argument: Any) -> Any:
        if not isinstance(argument, fx.Node):
            return argument
        found = argument.meta.get("val")
        if isinstance(found, torch.Tensor):
            return torch.empty([1] * found.dim(), dtype=found.dtype)
        return 1

    # -- writing -----------------------------------------------------------------------------

    def cast(self, name: str, dtype: torch.dtype) -> str:
        """Return a tensor converted to a dtype."""
        return self.build.call("Cast", name, to=onnx_type(dtype))

    def sizes(self, items: Sequence[Any]) -> str:
        """Return an int64 vector of numbers, some of which may be known only when the model runs."""
        values = [self.value(item) for item in items]
        if all(not isinstance(value, Size) for value in values):
            return self.build.integers([int(value) for value in values])
        zero = self.build.integers([0])
        parts = [
            self.build.call("Unsqueeze", value.name, zero)
            if isinstance(value, Size)
            else self.build.integers([int(value)])
            for value in values
        ]
        return self.build.call("Concat", *parts, axis=0)

    def vector(self, item: Any) -> str:
        """Return one number as an int64 vector of one."""
        return self.sizes([item])


def _own(value: Any) -> torch.dtype:
    if isinstance(value, bool):
        return torch.bool
    return torch.int64 if isinstance(value, int) else torch.float32
