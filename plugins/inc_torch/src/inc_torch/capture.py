"""From a user's module to a graph of torch's operators, traced on one batch.

Plain modules are recorded (``inc_torch.recording``), in a tenth of the time of ``torch.export``. That is
the way for all others, and the last is to export what ``torch.fx`` traced. All end in the same operators.
The batch dimension, and for models of token ids every dimension, stays open.
"""

from __future__ import annotations

import inspect
import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from inc_torch.editing import copied_nodes
from inc_torch.naming import assign_names
from inc_torch.normalize import MutatingError, normalize
from inc_torch.recording import record
from inc_torch.signature import InputInfo, Signature, nest_of
from inc_torch.static.graphs import Draft

__all__ = ["UntraceableError", "capture", "graph_of_program"]


_SHAPES = "torch.fx.experimental.symbolic_shapes"


class UntraceableError(Exception):
    """A module cannot become a graph; the message says why."""


def capture(
    module: nn.Module, inputs: Mapping[str, torch.Tensor]
) -> tuple[fx.GraphModule, Signature]:
    """Return a graph of flat tensors in, a tuple of tensors out, and what it takes.

    Args:
        module: In evaluation mode.
        inputs: One batch by name of the parameter of ``forward``.

    Raises:
        UntraceableError: If no way leads to a graph.
    """
    inputs = _as_forward_takes_them(module, inputs)
    ways: tuple[Callable[[], tuple[fx.GraphModule, Signature]], ...] = (
        lambda: _recorded(module, inputs),
        lambda: _exported(module, inputs),
        lambda: _exported(fx.symbolic_trace(module), inputs),
    )
    problems = []
    for way in ways:
        try:
            return way()
        # a module is anyone's code, and tracing it raises whatever that code or torch raises
        except Exception as error:  # noqa: BLE001
            problems.append(_short(error))
    raise UntraceableError(problems[1])  # torch.export knows best why


def graph_of_program(program: ExportedProgram) -> tuple[fx.GraphModule, Signature]:
    """Return the normalized, named graph of a program, and its signature.

    Raises:
        UntraceableError: If it takes or gives anything but tensors, or holds control flow.
    """
    try:
        graph = normalize(_module_of(program))
    except MutatingError:
        graph = normalize(_module_of(program.run_decompositions({})))
    _refuse_control_flow(graph)
    inputs = _inputs_of(program, graph)
    nest = _flatten_outputs(program, graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return _named(graph), Signature(inputs, nest)


def _recorded(
    module: nn.Module, inputs: Mapping[str, torch.Tensor]
) -> tuple[fx.GraphModule, Signature]:
    graph, signature = record(module, inputs, _open_dimensions(inputs))
    return _named(normalize(graph)), signature


def _exported(
    module: nn.Module, inputs: Mapping[str, torch.Tensor]
) -> tuple[fx.GraphModule, Signature]:
    graph, signature = graph_of_program(_export(module, inputs))
    infos = []
    # exporting renames what has the name of a function, such as ``input``
    for name, info in zip(inputs, signature.inputs, strict=True):
        if info.shape and info.shape[0] is not None:
            # written out for each sample: with any other batch, it would go on with the traced number
            raise UntraceableError(f"its code depends on the size of the batch ({info})")
        infos.append(replace(info, name=name))
    return graph, replace(signature, inputs=tuple(infos))


def _named(graph: fx.GraphModule) -> fx.GraphModule:
    assign_names(graph)
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    return graph


def _as_forward_takes_them(
    module: nn.Module, inputs: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return inputs in the order of ``forward``, of two samples at least."""
    known = [name for name in inspect.signature(module.forward).parameters if name in inputs]
    names = [*known, *(name for name in inputs if name not in known)]
    return {name: _at_least_two(inputs[name]) for name in names}


def _export(module: nn.Module, inputs: Mapping[str, torch.Tensor]) -> ExportedProgram:
    shapes = {
        name: dict.fromkeys(dims, Dim.AUTO) for name, dims in _open_dimensions(inputs).items()
    }
    # where it fails it prints the graph so far, pages of it, and warns of itself; the error says why
    with torch.no_grad(), redirect_stderr(io.StringIO()), _silent(_SHAPES):
        return torch.export.export(module, (), dict(inputs), dynamic_shapes=shapes, strict=False)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Let a logger, whose handler holds the true standard error, say nothing in the block."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _open_dimensions(inputs: Mapping[str, torch.Tensor]) -> dict[str, range]:
    """Leave the batch open; with token ids among the inputs, every length too."""
    text = any(not t.is_floating_point() and t.dim() > 1 for t in inputs.values())
    return {name: range(t.dim() if text else min(t.dim(), 1)) for name, t in inputs.items()}


def _at_least_two(tensor: torch.Tensor) -> torch.Tensor:
    """Repeat a batch of one: tracing takes a size of 1 for a constant."""
    return torch.cat([tensor, tensor]) if tensor.dim() and tensor.shape[0] == 1 else tensor


def _module_of(program: ExportedProgram) -> Draft:
    graph = program.module(check_guards=False)
    assert isinstance(graph, fx.GraphModule)
    # a copy has flat tensors in and out, and eval(): the nest is the signature's matter
    return Draft(graph, copied_nodes(graph))


def _refuse_control_flow(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.op == "call_module" or isinstance(node.target, torch._ops.HigherOrderOperator):
            raise UntraceableError(f"it holds control flow ({node.target})")


def _inputs_of(program: ExportedProgram, graph: fx.GraphModule) -> tuple[InputInfo, ...]:
    specs = program.graph_signature.input_specs
    taken = [spec for spec in specs if spec.kind == InputKind.USER_INPUT]
    placeholders = [node for node in graph.graph.nodes if node.op == "placeholder"]
    if len(taken) != len(placeholders):
        raise UntraceableError("the model takes inputs that are not tensors")
    return tuple(_input_info(node) for node in placeholders)


def _input_info(node: fx.Node) -> InputInfo:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        raise UntraceableError(f"input {node.name!r} is no tensor")
    shape = tuple(map(_fixed, value.shape))
    return InputInfo(node.name, str(value.dtype).removeprefix("torch."), shape)


def _fixed(size: int | torch.SymInt) -> int | None:
    """Return a size; ``None`` if it is open. One that the model allows one value for is not."""
    return size if isinstance(size, int) else size.node.maybe_as_int()


def _flatten_outputs(program: ExportedProgram, graph: fx.GraphModule) -> Any:
    """Leave only tensors in the output node; return how they were nested."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    flat = output.args[0] if isinstance(output.args[0], (tuple, list)) else (output.args[0],)
    for one in flat:
        if one is not None and not isinstance(one, fx.Node):
            raise UntraceableError(f"the model returns {one!r}, which is no tensor")
    leaves = [None if one is None else torch.empty(0) for one in flat]
    spec = program.call_spec.out_spec
    nest = nest_of(pytree.tree_unflatten(leaves, spec)) if spec is not None else None
    output.args = (tuple(one for one in flat if one is not None),)
    return nest


def _short(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]
