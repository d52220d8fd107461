"""Graphs as JSON and safetensors: nothing is pickled, nothing that is read can run code of its own.

A node names its operator; only operators of known libraries are accepted. Tensors lie in one safetensors
file. ``model.json`` holds the digest of that file, and both are checked before anything is built.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from inc_core.errors import UnsupportedModelError
from inc_torch.naming import op_name
from inc_torch.static import ops as static_ops
from inc_torch.static.prepare import attribute
from inc_torch.tensor_file import TENSOR_FILE, read_tensors, write_tensors

__all__ = [
    "GRAPH_FILE",
    "TENSOR_FILE",
    "describe",
    "graph_of",
    "holder_of",
    "read_files",
    "tensors_of_graph",
    "write_files",
]

GRAPH_FILE = "model.json"
FORMAT = 1  # of these files; raised when an older reader could misread a newer one

_LIBRARIES = frozenset({"aten", "inc", "onednn", "quantized_decomposed"})
# these read files or other memory than their arguments'
_REFUSED = frozenset({"aten::from_file", "aten::from_blob"})
_BUILTINS: Mapping[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod,
        operator.neg, operator.pow, operator.getitem, operator.eq, operator.ne, operator.lt,
        operator.le, operator.gt, operator.ge, operator.and_, operator.or_, math.ceil, math.floor,
        math.sqrt, torch.sym_max, torch.sym_min, torch.sym_float, torch.sym_int, torch.sym_not,
        torch.sym_sqrt,
    )
}  # fmt: skip
_STATIC: Mapping[str, Callable[..., Any]] = {
    name: getattr(static_ops, name) for name in static_ops.__all__
}
_NOTES = ("inc_name", "inc_scale", "inc_absorbed")
_WORDS = {torch.dtype: "dtype", torch.memory_format: "memory_format", torch.layout: "layout"}


def describe(graph: fx.GraphModule) -> list[dict[str, Any]]:
    """Return the nodes of a graph as plain values.

    Raises:
        UnsupportedModelError: If a node is none that can be read back.
    """
    return [_describe_node(node) for node in graph.graph.nodes]


def tensors_of_graph(graph: fx.GraphModule) -> dict[str, Tensor]:
    """Return every tensor that the graph reads, by the name under which it reads it."""
    targets = dict.fromkeys(str(n.target) for n in graph.graph.nodes if n.op == "get_attr")
    return {target: attribute(graph, target) for target in targets}


def graph_of(rows: list[dict[str, Any]], tensors: Mapping[str, Tensor]) -> fx.GraphModule:
    """Inverse of ``describe`` and ``tensors_of_graph``.

    Raises:
        UnsupportedModelError: If a row is malformed, or names an operator that is not accepted.
    """
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}
    try:
        for row in rows:
            args, kwargs = _decode(row["args"], nodes), _decode(row["kwargs"], nodes)
            target = _target(row["target"]) if row["op"] == "call_function" else row["target"]
            if row["op"] not in ("placeholder", "get_attr", "call_function", "output"):
                raise UnsupportedModelError(
                    f"a node {row['op']!r} is not accepted in a saved graph"
                )
            node = graph.create_node(row["op"], target, args, kwargs, row["name"])
            nodes[row["name"]] = node
            node.meta.update(_decode(row.get("meta", {"map": {}}), nodes))
        module = fx.GraphModule(holder_of(tensors), graph)
        graph.lint()
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        if isinstance(error, UnsupportedModelError):
            raise
        raise UnsupportedModelError(
            f"the saved graph is corrupt ({type(error).__name__}: {error})"
        ) from error
    return module


def holder_of(tensors: Mapping[str, Tensor]) -> torch.nn.Module:
    """Return a module that holds tensors as buffers, under their dotted names."""
    holder = torch.nn.Module()
    for name, tensor in tensors.items():
        module = holder
        *path, last = name.split(".")
        for part in path:
            if part not in module._modules:
                module.add_module(part, torch.nn.Module())
            module = module.get_submodule(part)
        module.register_buffer(last, tensor)
    return holder


def write_files(directory: Path, content: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write ``model.json`` and ``model.safetensors``; equal models give equal bytes."""
    header = {"format": FORMAT, **write_tensors(directory, tensors)}
    text = json.dumps({**header, **content}, indent=1, sort_keys=True)
    (directory / GRAPH_FILE).write_text(text + "\n", encoding="utf-8")


def read_files(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what ``write_files`` wrote.

    Raises:
        UnsupportedModelError: If a file is missing, cut or changed, or of another format.
    """
    try:
        content = json.loads((directory / GRAPH_FILE).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise UnsupportedModelError(
                f"{directory / GRAPH_FILE}: its format is {found!r}, this inc-torch reads {FORMAT}"
            )
        return content, read_tensors(directory, content)
    except FileNotFoundError as error:
        raise UnsupportedModelError(
            f"{str(directory)!r} holds no saved torch model: {Path(error.filename).name} is missing"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, UnsupportedModelError):
            raise
        raise UnsupportedModelError(
            f"{directory / GRAPH_FILE} is corrupt ({error}); save the model again"
        ) from error


def _describe_node(node: fx.Node) -> dict[str, Any]:
    target = _target_name(node) if node.op == "call_function" else str(node.target)
    if node.op not in ("placeholder", "get_attr", "call_function", "output"):
        raise UnsupportedModelError(
            f"the graph calls the module {node.target!r}, which cannot be saved"
        )
    row = {
        "op": node.op,
        "name": node.name,
        "target": target,
        "args": _encode(node.args),
        "kwargs": _encode(node.kwargs),
    }
    # what observers need to find the tensors of the float model again
    notes = {key: node.meta[key] for key in _NOTES if key in node.meta}
    return {**row, "meta": _encode(notes)} if notes else row


def _target_name(node: fx.Node) -> str:
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        name = f"{target._schema.name}.{target._overloadname}"
        if _is_accepted(name):
            return name
    for prefix, table in (("python", _BUILTINS), ("static", _STATIC)):
        for name, function in table.items():
            if function is target:
                return f"{prefix}:{name}"
    raise UnsupportedModelError(
        f"the op {op_name(node)!r} calls {target}, which cannot be saved: only operators of "
        f"{', '.join(sorted(_LIBRARIES))} can be read back safely"
    )


def _is_accepted(name: str) -> bool:
    library, _, operator_name = name.partition("::")
    return library in _LIBRARIES and f"{library}::{operator_name.split('.')[0]}" not in _REFUSED


def _target(name: str) -> Callable[..., Any]:
    prefix, _, rest = name.partition(":")
    table = {"python": _BUILTINS, "static": _STATIC}.get(prefix)
    if table is not None and rest in table:
        return table[rest]
    if table is None and _is_accepted(name):
        library, _, full = name.partition("::")
        packet, _, overload = full.partition(".")
        return getattr(getattr(getattr(torch.ops, library), packet), overload)
    raise UnsupportedModelError(f"the saved graph calls {name!r}, which is not accepted")


def _encode(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [_encode(item) for item in value]}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return {"map": {key: _encode(item) for key, item in value.items()}}
    if isinstance(value, slice):
        return {"slice": [_encode(part) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if type(value) in _WORDS:
        return {_WORDS[type(value)]: str(value).removeprefix("torch.")}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UnsupportedModelError(
        f"an argument of type {type(value).__name__} cannot be saved: {value!r}"
    )


def _decode(value: Any, nodes: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_decode(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "node":
        return nodes[content]
    if kind == "tuple":
        return tuple(_decode(item, nodes) for item in content)
    if kind == "map":
        return {key: _decode(item, nodes) for key, item in content.items()}
    if kind == "slice":
        return slice(*(_decode(part, nodes) for part in content))
    if kind == "device":
        return torch.device(content)
    if kind == "float":
        return float(content)
    word = getattr(torch, content)
    if _WORDS.get(type(word)) != kind:
        raise UnsupportedModelError(f"{content!r} is no {kind} of torch")
    return word
