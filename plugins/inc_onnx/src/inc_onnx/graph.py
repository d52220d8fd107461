"""``Graph``: a small mutable view of a model's main graph, from which a new ``ModelProto`` is written.

Nodes are copied and initializers are only referred to, so that making a view and editing it costs
no copy of the weights, and the source is never changed. Bodies of ``If``, ``Loop`` and ``Scan`` are
left alone; the outer tensors that they read count as inputs of the node that holds them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from inc_core.errors import UnsupportedModelError

__all__ = ["Dim", "Graph", "Shape", "captured", "topological_order"]

Shape = tuple[int | None, ...]
# a number, or the name of a size that is the same wherever the name is; ``None`` is unknown
Dim = int | str | None


class Graph:
    """A mutable view of one ``ModelProto``.

    Args:
        proto: The source; it is read and never changed.
        folder: Where external data of the source lies; ``None`` if all weights are inline.

    Attributes:
        nodes: The nodes, own copies; use the methods to add and remove them.
        inputs: Names of the model's inputs, without initializers.
        outputs: Names of the model's outputs.
        opsets: Operator set version by domain; ``""`` is the standard one.
    """

    def __init__(self, proto: onnx.ModelProto, folder: Path | None = None) -> None:
        self._source = proto
        self.folder = folder
        self.nodes: list[NodeProto] = [_copy(node) for node in proto.graph.node]
        self._initializers: dict[str, TensorProto] = {t.name: t for t in proto.graph.initializer}
        self.inputs = [i.name for i in proto.graph.input if i.name not in self._initializers]
        self.outputs = [output.name for output in proto.graph.output]
        self.opsets = {entry.domain: entry.version for entry in proto.opset_import}
        self._types = {
            info.name: info.type.tensor_type
            for infos in (proto.graph.input, proto.graph.value_info, proto.graph.output)
            for info in infos
            if info.type.HasField("tensor_type")
        }
        self._arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._used_names: set[str] | None = None
        self._index()

    # -- questions ---------------------------------------------------------------------------

    @property
    def opset(self) -> int:
        """Version of the standard operator set."""
        return int(self.opsets.get("", 1))

    def producer(self, tensor: str) -> NodeProto | None:
        """Return the node that computes a tensor; ``None`` for inputs and initializers."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> tuple[NodeProto, ...]:
        """Return the nodes that read a tensor, bodies included, each once."""
        return tuple(self._consumers.get(tensor, ()))

    def only_consumer(self, tensor: str) -> NodeProto | None:
        """Return the one node that reads a tensor; ``None`` if several do or it is a model output."""
        consumers = self.consumers(tensor)
        return consumers[0] if len(consumers) == 1 and tensor not in self.outputs else None

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor is an initializer."""
        return tensor in self._initializers

    def constant(self, tensor: str) -> np.ndarray[Any, Any] | None:
        """Return an initializer's values, read-only; ``None`` if the tensor is not one."""
        if tensor not in self._initializers:
            return None
        if tensor not in self._arrays:
            self._arrays[tensor] = self._read(self._initializers[tensor])
        return self._arrays[tensor]

    def scalar(self, tensor: str) -> float | None:
        """Return the value of an initializer of one element; ``None`` for anything else."""
        if not self.is_constant(tensor) or np.prod(self._initializers[tensor].dims) != 1:
            return None
        array = self.constant(tensor)
        return None if array is None else float(array.reshape(-1)[0])

    def initializer(self, tensor: str) -> TensorProto:
        """Return the proto of an initializer; it must not be changed."""
        return self._initializers[tensor]

    def shape(self, tensor: str) -> Shape | None:
        """Return a tensor's shape, ``None`` for unknown dimensions; ``None`` if the rank is unknown."""
        named = self.named_shape(tensor)
        if named is None:
            return None
        return tuple(d if isinstance(d, int) else None for d in named)

    def named_shape(self, tensor: str) -> tuple[int | str, ...] | None:
        """Return a tensor's shape with the names of dynamic dimensions (``""`` if they have none)."""
        if tensor in self._initializers:
            return tuple(self._initializers[tensor].dims)
        info = self._types.get(tensor)
        if info is None or not info.HasField("shape"):
            return None
        return tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param for d in info.shape.dim
        )

    def dims(self, tensor: str) -> tuple[Dim, ...] | None:
        """Return a tensor's shape with the names of its sizes; ``None`` if the rank is unknown."""
        info = self._types.get(tensor)
        if tensor in self._initializers or info is None or not info.HasField("shape"):
            return self.shape(tensor)
        return tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in info.shape.dim
        )

    def element_type(self, tensor: str) -> int:
        """Return a tensor's ``TensorProto`` element type; 0 if unknown."""
        if tensor in self._initializers:
            return int(self._initializers[tensor].data_type)
        info = self._types.get(tensor)
        return 0 if info is None else int(info.elem_type)

    def is_float(self, tensor: str) -> bool:
        """Whether a tensor is known to be float32."""
        return self.element_type(tensor) == TensorProto.FLOAT

    @staticmethod
    def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
        """Return an attribute's value (strings decoded), or the default."""
        for attribute in node.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    # -- changes -----------------------------------------------------------------------------

    def fresh(self, name: str) -> str:
        """Return ``name``, or it with a number, not used by any tensor or node yet."""
        if self._used_names is None:
            self._used_names = self._all_names()
        candidate, number = name, 1
        while candidate in self._used_names:
            number += 1
            candidate = f"{name}_{number}"
        self._used_names.add(candidate)
        return candidate

    def add_constant(self, name: str, value: np.ndarray[Any, Any] | TensorProto) -> str:
        """Add an initializer under a fresh name made of ``name``; return that name."""
        fresh = self.fresh(name)
        tensor = value if isinstance(value, TensorProto) else numpy_helper.from_array(value, fresh)
        if tensor.name != fresh:
            renamed = TensorProto()
            renamed.CopyFrom(tensor)
            renamed.name = fresh
            tensor = renamed
        self._initializers[fresh] = tensor
        return fresh

    def adopt_constant(self, name: str, value: TensorProto) -> None:
        """Make a tensor, whose producer is gone, an initializer under the same name."""
        tensor = TensorProto()
        tensor.CopyFrom(value)
        tensor.name = name
        self._initializers[name] = tensor

    def set_constant(self, name: str, value: np.ndarray[Any, Any]) -> None:
        """Replace the values of an initializer, for every node that reads it."""
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self._arrays.pop(name, None)

    def add_node(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        name: str = "",
        domain: str = "",
        **attributes: Any,
    ) -> NodeProto:
        """Append a node; ``proto`` sorts. ``name`` is made fresh, ``None`` attributes are left out."""
        given = {key: value for key, value in attributes.items() if value is not None}
        fresh = self.fresh(name or f"{op_type}_{outputs[0]}")
        node = helper.make_node(op_type, inputs, outputs, name=fresh, domain=domain, **given)
        self.opsets.setdefault(domain, 1)
        self.nodes.append(node)
        self._link(node)
        return node

    def remove(self, node: NodeProto) -> None:
        """Remove a node; its outputs are then without a producer."""
        position = next(i for i, other in enumerate(self.nodes) if other is node)
        del self.nodes[position]
        self._unlink(node)

    def set_inputs(self, node: NodeProto, inputs: Sequence[str]) -> None:
        """Give a node other inputs."""
        self._unlink(node)
        del node.input[:]
        node.input.extend(inputs)
        self._link(node)

    def set_outputs(self, node: NodeProto, outputs: Sequence[str]) -> None:
        """Give a node's outputs other names."""
        self._unlink(node)
        del node.output[:]
        node.output.extend(outputs)
        self._link(node)

    def redirect(self, old: str, new: str) -> None:
        """Let every node that reads ``old`` read ``new``; bodies and model outputs are not touched."""
        for node in self.consumers(old):
            if old in node.input:
                self.set_inputs(node, [new if name == old else name for name in node.input])

    # -- result ------------------------------------------------------------------------------

    def proto(self) -> onnx.ModelProto:
        """Return a new, topologically sorted ``ModelProto`` without unused initializers."""
        result = onnx.ModelProto()
        source = self._source
        for field in ("ir_version", "producer_name", "producer_version", "domain", "doc_string"):
            if getattr(source, field):
                setattr(result, field, getattr(source, field))
        result.model_version = source.model_version
        result.metadata_props.extend(source.metadata_props)
        result.functions.extend(source.functions)
        result.graph.name = source.graph.name or "model"
        nodes = topological_order(self.nodes)
        result.graph.node.extend(nodes)
        result.graph.output.extend(source.graph.output)
        known = set(self.inputs)
        result.graph.input.extend(i for i in source.graph.input if i.name in known)
        self._write_initializers(result, nodes)
        made = {name for node in nodes for name in node.output} - set(self.outputs)
        result.graph.value_info.extend(i for i in source.graph.value_info if i.name in made)
        for domain, version in self.opsets.items():
            result.opset_import.append(helper.make_opsetid(domain, version))
        return result

    def _write_initializers(self, result: onnx.ModelProto, nodes: Iterable[NodeProto]) -> None:
        used = {name for node in nodes for name in (*node.input, *captured(node))}
        used.update(self.outputs)
        result.graph.initializer.extend(t for n, t in self._initializers.items() if n in used)
        sparse = self._source.graph.sparse_initializer
        result.graph.sparse_initializer.extend(t for t in sparse if t.values.name in used)

    # -- bookkeeping -------------------------------------------------------------------------

    def _index(self) -> None:
        self._producers: dict[str, NodeProto] = {}
        self._consumers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            self._link(node)

    def _link(self, node: NodeProto) -> None:
        for name in node.output:
            if name:
                self._producers[name] = node
        for name in dict.fromkeys((*node.input, *captured(node))):
            if name:
                self._consumers[name].append(node)

    def _unlink(self, node: NodeProto) -> None:
        for name in node.output:
            if self._producers.get(name) is node:
                del self._producers[name]
        for name in dict.fromkeys((*node.input, *captured(node))):
            if name:
                self._consumers[name] = [n for n in self._consumers[name] if n is not node]

    def _all_names(self) -> set[str]:
        names = {*self.inputs, *self.outputs, *self._initializers}
        for node in self.nodes:
            names.update((node.name, *node.input, *node.output, *captured(node)))
        return names

    def _read(self, tensor: TensorProto) -> np.ndarray[Any, Any]:
        try:
            array = numpy_helper.to_array(tensor, base_dir=str(self.folder or ""))
        except (OSError, ValueError, TypeError, onnx.checker.ValidationError) as error:
            raise UnsupportedModelError(
                f"initializer {tensor.name!r} cannot be read: {error}. Keep the external data files "
                "beside the model, or export the model again."
            ) from error
        array.flags.writeable = False
        return array


def captured(node: NodeProto) -> frozenset[str]:
    """Return the outer tensors that the bodies of a node read; empty for most nodes."""
    names: set[str] = set()
    for attribute in node.attribute:
        bodies = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
        for body in bodies:
            names |= _free_names(body)
    return frozenset(names)


def _free_names(body: onnx.GraphProto) -> set[str]:
    own = {i.name for i in body.input} | {t.name for t in body.initializer}
    free = {output.name for output in body.output}
    for node in body.node:
        free.update(node.input, captured(node))
        own.update(node.output)
    return free - own - {""}


def topological_order(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Sort nodes so that producers come first; ready nodes keep their order.

    Raises:
        UnsupportedModelError: If the graph has a cycle.
    """
    position = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    needs = [
        {position[name] for name in (*node.input, *captured(node)) if name in position}
        for node in nodes
    ]
    done, order, stack = set[int](), list[NodeProto](), list[tuple[int, bool]]()
    open_nodes = set[int]()
    for start in range(len(nodes)):
        stack.append((start, False))
        while stack:
            index, ready = stack.pop()
            if index in done:
                continue
            if ready:
                done.add(index)
                order.append(nodes[index])
                continue
            if index in open_nodes:
                raise UnsupportedModelError(f"the graph has a cycle at node {nodes[index].name!r}")
            open_nodes.add(index)
            stack.append((index, True))
            stack.extend((need, False) for need in sorted(needs[index] - done, reverse=True))
    return order


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
