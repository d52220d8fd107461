"""Statistics of the inputs of a module's layers, for models that could not be traced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from inc_torch.weight_only.statistics import InputStatistics, Moments

__all__ = ["collect_statistics"]

Sink = Callable[[str, InputStatistics], None]

# Second moments that are held at once; more of them, more passes over the data.
MOMENTS_IN_MEMORY = 1024 * 2**20


@torch.no_grad()
def collect_statistics(
    layers: Mapping[str, nn.Module],
    batches: Sequence[Any],
    run: Callable[[Any], Any],
    sink: Sink,
) -> None:
    """Hand the statistics of each layer's inputs to ``sink``, as soon as they are complete.

    Args:
        layers: Modules of one model with inputs ``(..., K)`` and a weight ``(N, K)``, by path.
        batches: Inputs as ``run`` takes them.
        run: Runs the model on one batch.
        sink: Called once per layer; a layer that no sample reached has no rows.
    """
    for some in _within_memory(layers):
        with _moments_of(some, sink):
            for batch in batches:
                run(batch)


def _within_memory(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, nn.Module]]:
    some: dict[str, nn.Module] = {}
    size = 0
    for name, layer in layers.items():
        wanted = 4 * layer.weight.shape[1] ** 2
        if some and size + wanted > MOMENTS_IN_MEMORY:
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
