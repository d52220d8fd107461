"""Statistics of the inputs of many layers, block by block, with little more memory than one block's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inc_torch.weight_only.blocks import Block, Call, find_blocks, flow_of
from inc_torch.weight_only.statistics import InputStatistics, Moments

__all__ = ["collect_statistics"]

Run = Callable[[nn.Module, Any], Any]
Sink = Callable[[str, InputStatistics], None]

# What flows between blocks, for all calibration samples, is kept in memory up to this size and in a
# temporary file beyond: 128 samples of 2,048 tokens of width 4,096 are 4 GB.
_FLOW_IN_MEMORY = 512 * 2**20

# Second moments of layers outside of blocks that are held at once; more layers, more passes.
_MOMENTS_IN_MEMORY = 1024 * 2**20


class _ReachedError(Exception):
    """Ends a forward pass at the first block."""

    def __init__(self, call: Call) -> None:
        super().__init__("the first block was reached")
        self.call = call


@torch.no_grad()
def collect_statistics(
    model: nn.Module, layers: Mapping[str, nn.Module], batches: Sequence[Any], run: Run, sink: Sink
) -> None:
    """Hand the statistics of each layer's inputs to ``sink``, as soon as they are complete.

    Where the model is a chain of blocks, every block runs once for each batch, and the moments of
    one block's layers are held at a time. Other layers, and models without blocks, are observed in
    whole forward passes, as many as keep the moments within memory.

    Args:
        model: A float model; it is run, not changed.
        layers: Modules of the model with inputs ``(..., K)`` and a weight ``(N, K)``, by path.
        batches: Inputs as ``run`` takes them.
        run: Runs the model on one batch.
        sink: Called once per layer; a layer that no sample reached has no rows.
    """
    if not batches:
        return
    blocks = find_blocks(model, lambda: run(model, batches[0]))
    inside = {
        block.name: {
            name: layer
            for name, layer in layers.items()
            if name == block.name or name.startswith(f"{block.name}.")
        }
        for block in blocks
    }
    in_blocks = {name for found in inside.values() for name in found}
    outside = {name: layer for name, layer in layers.items() if name not in in_blocks}
    if in_blocks:
        flow = _block_by_block(model, blocks, inside, batches, run, sink)
        with _blocks_replaced(blocks, flow) as rewind:
            _in_passes(model, outside, batches, run, sink, before_pass=rewind)
        flow.close()
    else:
        _in_passes(model, outside, batches, run, sink)


def _block_by_block(
    model: nn.Module,
    blocks: Sequence[Block],
    inside: Mapping[str, Mapping[str, nn.Module]],
    batches: Sequence[Any],
    run: Run,
    sink: Sink,
) -> _Flow:
    """Run block after block on all batches; return what the last one gives."""
    calls = [_call_of_first(model, blocks[0], batch, run) for batch in batches]
    flow = _Flow([call.args[0] for call in calls])
    for block in blocks:
        with _moments_of(inside[block.name], sink):
            for index, call in enumerate(calls):
                call = call.with_flow(flow[index])
                flow[index] = flow_of(block.module(*call.args, **call.kwargs))
    return flow


def _call_of_first(model: nn.Module, first: Block, batch: Any, run: Run) -> Call:
    def stop(module: nn.Module, args: Any, kwargs: Any) -> None:
        raise _ReachedError(Call(args, kwargs))

    hook = first.module.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run(model, batch)
    except _ReachedError as reached:
        return reached.call
    finally:
        hook.remove()
    raise AssertionError("the first block ran in the pass that found it")


class _Flow:
    """One tensor per batch, in memory or in a temporary file."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        if size > _FLOW_IN_MEMORY:
            self._folder = tempfile.TemporaryDirectory(prefix="inc-flow-")
            for index, tensor in enumerate(tensors):
                self._tensors[index] = self._on_disk(index, tensor)

    def __getitem__(self, index: int) -> Tensor:
        return self._tensors[index]

    def __setitem__(self, index: int, tensor: Tensor) -> None:
        if self._folder is None:
            self._tensors[index] = tensor
        elif tensor.shape == self._tensors[index].shape:
            self._tensors[index].copy_(tensor)
        else:
            self._tensors[index] = self._on_disk(index, tensor)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._tensors)

    def close(self) -> None:
        """Forget the tensors."""
        self._tensors.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def _on_disk(self, index: int, tensor: Tensor) -> Tensor:
        assert self._folder is not None  # only called then
        path = Path(self._folder.name) / f"{index}.bin"
        path.unlink(missing_ok=True)  # a new file: an old mapping keeps its own
        mapped = torch.from_file(str(path), shared=True, size=tensor.numel(), dtype=tensor.dtype)
        return mapped.view(tensor.shape).copy_(tensor)


@contextmanager
def _blocks_replaced(blocks: Sequence[Block], flow: _Flow) -> Iterator[Callable[[], None]]:
    """Let the blocks pass on what is known already; the value rewinds to the first batch."""
    pending: list[Iterator[Tensor]] = []
    own = [block.module.__dict__.get("forward") for block in blocks]

    def rewind() -> None:
        pending[:] = [iter(flow)]

    def passing(block: Block, *, first: bool) -> Callable[..., Any]:
        def forward(value: Any, *args: Any, **kwargs: Any) -> Any:
            return block.output(next(pending[0]) if first else value)

        return forward

    try:
        for index, block in enumerate(blocks):
            block.module.forward = passing(block, first=index == 0)
        rewind()
        yield rewind
    finally:
        for block, forward in zip(blocks, own, strict=True):
            del block.module.forward
            if forward is not None:
                block.module.forward = forward


def _in_passes(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Sequence[Any],
    run: Run,
    sink: Sink,
    before_pass: Callable[[], None] = lambda: None,
) -> None:
    for some in _within_memory(layers):
        before_pass()
        with _moments_of(some, sink):
            for batch in batches:
                run(model, batch)


def _within_memory(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, nn.Module]]:
    some: dict[str, nn.Module] = {}
    size = 0
    for name, layer in layers.items():
        wanted = 4 * layer.weight.shape[1] ** 2
        if some and size + wanted > _MOMENTS_IN_MEMORY:
            yield some
            some, size = {}, 0
        some[name] = layer
        size += wanted
    if some:
        yield some


@contextmanager
def _moments_of(layers: Mapping[str, nn.Module], sink: Sink) -> Iterator[None]:
    """Observe the inputs of some layers, and hand over their statistics at the end."""
    moments = {name: Moments(layer.weight.shape[1]) for name, layer in layers.items()}

    def observer(name: str) -> Callable[[nn.Module, Any], None]:
        def observe(module: nn.Module, args: Any) -> None:
            moments[name].add(args[0])

        return observe

    hooks = [layer.register_forward_pre_hook(observer(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        sink(name, moments.pop(name).statistics())
