"""Cross-layer equalization of toy models."""

from __future__ import annotations

from dataclasses import replace

from inc_core.quant.equalize import equalize_pair
from inc_core.testing.toy.model import ToyModel, ToyNode

__all__ = ["equalizable_pairs", "equalize"]


def equalizable_pairs(model: ToyModel) -> tuple[tuple[str, str], ...]:
    """Return the names of each ``Linear`` and of the one that alone reads it, through ``Relu``."""
    pairs = []
    for node in model.nodes:
        follower = _only_reader(model, node)
        while follower is not None and follower.type == "Relu":
            follower = _only_reader(model, follower)
        if node.type == "Linear" and follower is not None and follower.type == "Linear":
            pairs.append((node.name, follower.name))
    return tuple(pairs)


def equalize(model: ToyModel, sweeps: int = 3) -> ToyModel:
    """Return a model of the same function whose channel ranges agree across each pair.

    Pairs that share a layer disturb each other, hence several sweeps.

    Source: Nagel et al. 2019 (arXiv:1906.04721), section 4.1.
    """
    for _ in range(sweeps):
        for first, second in equalizable_pairs(model):
            model = model.with_nodes(_equalized(model.node(first), model.node(second)))
    return model


def _equalized(first: ToyNode, second: ToyNode) -> tuple[ToyNode, ToyNode]:
    weight, bias, following = first.arrays["weight"], first.arrays["bias"], second.arrays["weight"]
    scales = equalize_pair(weight, following)
    return (
        replace(first, arrays={"weight": weight / scales[:, None], "bias": bias / scales}),
        replace(second, arrays={**second.arrays, "weight": following * scales}),
    )


def _only_reader(model: ToyModel, node: ToyNode) -> ToyNode | None:
    readers = model.consumers(node.name)
    return readers[0] if len(readers) == 1 and node.name not in model.outputs else None
