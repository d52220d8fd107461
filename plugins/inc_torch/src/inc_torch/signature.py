"""What a model takes and gives: names, dtypes and shapes of inputs, the nest of outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from inc_core.errors import UnsupportedModelError

__all__ = ["InputInfo", "Signature", "flatten_outputs", "nest_of", "rebuild"]

# a nest is None for one tensor, {"list" | "tuple": [nests]}, {"dict": {key: nest}} or {"none": 0}
Nest = Any


@dataclass(frozen=True)
class InputInfo:
    """One tensor that a model takes.

    Attributes:
        name: Of the parameter of ``forward``.
        dtype: A dtype of torch without its prefix, ``"float32"``.
        shape: Sizes; ``None`` where any size is accepted, or for a tensor of any shape.
        untied: Dimensions that were traced at one size, but no number of the graph follows it: height and
            width of images, mostly. Others are accepted if the layers accept them.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None
    untied: tuple[int, ...] = ()

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype itself."""
        return getattr(torch, self.dtype)

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name}: {self.dtype}"
        sizes = ", ".join(
            "any" if size is None or dim in self.untied else str(size)
            for dim, size in enumerate(self.shape)
        )
        return f"{self.name}: {self.dtype} ({sizes})"

    def accepts(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of this shape fits."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(
                mine is None or mine == size or dim in self.untied
                for dim, (mine, size) in enumerate(zip(self.shape, shape, strict=True))
            )
        )


@dataclass(frozen=True)
class Signature:
    """The inputs in the order of ``forward``, and how its result is nested."""

    inputs: tuple[InputInfo, ...]
    outputs: Nest = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        inputs = [
            [one.name, one.dtype, one.shape and list(one.shape), list(one.untied)]
            for one in self.inputs
        ]
        return {"inputs": inputs, "outputs": self.outputs}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Signature:
        """Inverse of ``to_json``."""
        inputs = tuple(
            InputInfo(name, dtype, _shape(shape), tuple(untied))
            for name, dtype, shape, untied in fields["inputs"]
        )
        return cls(inputs, fields["outputs"])


def _shape(sizes: Sequence[int | None] | None) -> tuple[int | None, ...] | None:
    return None if sizes is None else tuple(sizes)


def nest_of(value: Any) -> Nest:
    """Describe a result of ``forward``: a tensor, or any nest of tuples, lists and mappings.

    Dataclasses such as those of ``transformers`` become mappings without their empty fields.

    Raises:
        UnsupportedModelError: If it holds anything but tensors and ``None``.
    """
    if isinstance(value, torch.Tensor):
        return None
    if value is None:
        return {"none": 0}
    if isinstance(value, Mapping):
        return {"dict": {str(key): nest_of(item) for key, item in value.items()}}
    if dataclasses.is_dataclass(value):
        return nest_of(_filled_fields(value))
    if isinstance(value, tuple):
        return {"tuple": [nest_of(item) for item in value]}
    if isinstance(value, list):
        return {"list": [nest_of(item) for item in value]}
    raise UnsupportedModelError(
        f"the model returns a {type(value).__name__}; it must return tensors, in tuples, lists or "
        "mappings if there are several"
    )


def flatten_outputs(value: Any) -> tuple[torch.Tensor, ...]:
    """Return the tensors of a nest in order, numbers as tensors; other objects, such as caches, are none."""
    if isinstance(value, torch.Tensor):
        return (value,)
    if isinstance(value, (bool, int, float)):
        return (torch.tensor(value),)
    if dataclasses.is_dataclass(value) and not isinstance(value, Mapping):
        value = _filled_fields(value)
    if not isinstance(value, (Mapping, list, tuple)):
        return ()
    items = value.values() if isinstance(value, Mapping) else value
    return tuple(tensor for item in items for tensor in flatten_outputs(item))


def rebuild(nest: Nest, tensors: Sequence[torch.Tensor]) -> Any:
    """Inverse of ``flatten_outputs`` for a described nest."""
    result, rest = _rebuild(nest, tensors)
    assert not rest, "a signature describes all outputs"
    return result


def _rebuild(nest: Nest, tensors: Sequence[torch.Tensor]) -> tuple[Any, Sequence[torch.Tensor]]:
    if nest is None:
        return tensors[0], tensors[1:]
    ((kind, items),) = nest.items()
    if kind == "none":
        return None, tensors
    if kind == "dict":
        found = {}
        for key, item in items.items():
            found[key], tensors = _rebuild(item, tensors)
        return found, tensors
    built = []
    for item in items:
        value, tensors = _rebuild(item, tensors)
        built.append(value)
    return (tuple(built) if kind == "tuple" else built), tensors


def _filled_fields(value: Any) -> dict[str, Any]:
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: item for name, item in fields.items() if item is not None}
