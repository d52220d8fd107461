"""The repeated blocks of a model, where each one's output is the next one's input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Block", "Call", "find_blocks", "flow_of"]


@dataclass(frozen=True)
class Call:
    """The arguments of one call: ``args[0]`` is what flows from block to block."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def with_flow(self, flow: Tensor) -> Call:
        """Return the same call on what another block gave."""
        return Call((flow, *self.args[1:]), self.kwargs)


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        name: Path of its module.
        module: The module.
        extras: What it gives beside what flows on, as last seen; ``None`` if it gives no tuple.
    """

    name: str
    module: nn.Module
    extras: tuple[Any, ...] | None = None

    def output(self, flow: Tensor) -> Any:
        """Return what the block gives if ``flow`` goes on."""
        return flow if self.extras is None else (flow, *self.extras)


@dataclass
class _Seen:
    calls: list[Call] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


def find_blocks(model: nn.Module, forward: Callable[[], Any]) -> tuple[Block, ...]:
    """Return the longest chain of blocks, empty if there is none.

    A chain is a ``ModuleList`` or ``Sequential`` whose children run once each and in order, each on
    what the one before gave and with the same further arguments. That is not assumed but seen, in
    one forward pass.

    Args:
        model: Any module.
        forward: Runs the model once, on a small batch.
    """
    candidates = [
        [Block(f"{name}.{key}".lstrip("."), child) for key, child in module.named_children()]
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1
    ]
    children = {block.module for blocks in candidates for block in blocks}
    seen = _watch(children, forward)
    chains = [blocks for blocks in candidates if _is_chain([seen[b.module] for b in blocks])]
    longest = max(chains, key=_weight_of, default=[])
    return tuple(replace(block, extras=_extras(seen[block.module])) for block in longest)


def flow_of(output: Any) -> Any:
    """Return what goes on to the next block: the output, or its first part."""
    return output[0] if isinstance(output, tuple) and output else output


def _extras(seen: _Seen) -> tuple[Any, ...] | None:
    (output,) = seen.outputs
    return output[1:] if isinstance(output, tuple) else None


def _weight_of(blocks: list[Block]) -> int:
    return sum(parameter.numel() for block in blocks for parameter in block.module.parameters())


def _watch(modules: set[nn.Module], forward: Callable[[], Any]) -> dict[nn.Module, _Seen]:
    seen = {module: _Seen() for module in modules}

    def note(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        seen[module].calls.append(Call(args, kwargs))
        seen[module].outputs.append(output)

    hooks = [module.register_forward_hook(note, with_kwargs=True) for module in modules]
    try:
        forward()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _is_chain(seen: list[_Seen]) -> bool:
    if any(len(one.calls) != 1 or not one.calls[0].args for one in seen):
        return False
    return all(
        after.calls[0].args[0] is flow_of(before.outputs[0])
        and isinstance(after.calls[0].args[0], Tensor)
        and _same(before.calls[0].args[1:], after.calls[0].args[1:])
        and _same(before.calls[0].kwargs, after.calls[0].kwargs)
        for before, after in pairwise(seen)
    )


def _same(left: Any, right: Any) -> bool:
    """Return whether two nests of arguments are equal."""
    if left is right:
        return True
    if type(left) is not type(right):
        return False
    if isinstance(left, Tensor):
        return left.shape == right.shape and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, tuple | list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    return isinstance(left, int | float | str | bool) and left == right
