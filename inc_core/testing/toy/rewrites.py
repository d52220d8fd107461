"""Cross-layer equalization of toy models."""

from __future__ import annotations

from dataclasses import replace

from inc_core.quant.equalize import EqualizedPair, equalize_layers
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


def equalize(model: ToyModel) -> ToyModel:
    """Return a model of the same function whose channel ranges agree across each pair.

    Source: Nagel et al. 2019 (arXiv:1906.04721), section 4.1.
    """
    names = equalizable_pairs(model)
    pairs = [EqualizedPair(f"{a}/weight", f"{a}/bias", f"{b}/weight") for a, b in names]
    linears = [node for node in model.nodes if node.type == "Linear"]
    arrays = {f"{n.name}/{part}": array for n in linears for part, array in n.arrays.items()}
    arrays |= equalize_layers(arrays, pairs).arrays
    return model.with_nodes(
        replace(node, arrays={part: arrays[f"{node.name}/{part}"] for part in node.arrays})
        for node in linears
    )


def _only_reader(model: ToyModel, node: ToyNode) -> ToyNode | None:
    readers = model.consumers(node.name)
    return readers[0] if len(readers) == 1 and node.name not in model.outputs else None
