"""Taps: what a session computes beside its model, so that of an observed tensor only numbers leave it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto, helper

from inc_core.quant.observers import Observer
from inc_onnx.graph import Graph

__all__ = ["NamedShape", "Tap", "TapWriter"]

Array = np.ndarray[Any, Any]
NamedShape = tuple[int | str, ...]

_TO_THE_END = np.iinfo(np.int64).max


class Tap(Protocol):
    """One observed tensor and the session outputs that tell about it."""

    outputs: tuple[str, ...]

    def tell(self, values: Mapping[str, Array], samples: int) -> None:
        """Feed the observer from the arrays of one run, inputs and outputs by name."""


@dataclass(frozen=True)
class _WholeTap:
    """A tensor that is at hand, or must be fetched whole."""

    observer: Observer
    tensor: str
    outputs: tuple[str, ...] = ()

    def tell(self, values: Mapping[str, Array], samples: int) -> None:
        self.observer.update(values[self.tensor])


@dataclass(frozen=True)
class _ReducedTap:
    """A tensor that is reduced in the session: over all, or over all but its channels.

    Attributes:
        observer: What is told.
        by_channel: Whether the reductions have one element per channel.
        hi: Output with the largest values.
        lo: Output with the smallest; empty where nothing is below 0.
        mean: Output with the means; empty where ranges are all that is wanted.
        part: Output with some of the values, flat; empty where none are wanted.
    """

    observer: Observer
    by_channel: bool
    hi: str
    lo: str = ""
    mean: str = ""
    part: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(name for name in (self.hi, self.lo, self.mean, self.part) if name)

    def tell(self, values: Mapping[str, Array], samples: int) -> None:
        hi = values[self.hi]
        lo = values[self.lo] if self.lo else np.zeros_like(hi)
        least, largest = float(lo.min()), float(hi.max())
        part = values[self.part] if self.part else None
        if self.mean and np.isnan(values[self.mean]).any():
            least = np.nan  # the runtime's maxima pass over NaN, its means do not
        if not self.by_channel:
            self.observer.update_reduced(least, largest, samples, values=part)
            return
        self.observer.update_reduced(
            least,
            largest,
            samples,
            channel_lo=lo,
            channel_hi=hi,
            channel_sum=values[self.mean] * samples,
            channel_count=samples,
            values=part,
        )


@dataclass
class TapWriter:
    """Adds taps to a graph.

    Args:
        graph: The graph, which is changed.
        sizes: Names of dynamic dimensions that are known before a run: those of the inputs.

    Attributes:
        strides: By shape of the tensors, the further input of the graph that says which of their
            values are fetched: every how many-th, int64 ``(1,)``.
    """

    graph: Graph
    sizes: Collection[str]
    strides: dict[NamedShape, str] = field(default_factory=dict)
    _integers: dict[int, str] = field(default_factory=dict)

    def add(self, tensor: str, observer: Observer) -> Tap:
        """Add what one observer wants to know of one tensor."""
        if tensor in self.graph.inputs:
            return _WholeTap(observer, tensor)
        shape = self.graph.named_shape(tensor)
        unknown = shape is None or not self._is_countable(shape)
        if (observer.needs_values and unknown) or (observer.needs_channels and shape is None):
            return _WholeTap(observer, tensor, (tensor,))
        rank = len(shape or ())
        by_channel = observer.needs_channels and rank > 1
        kept = observer.channel_axis % rank if by_channel else None
        axes = None if kept is None else [axis for axis in range(rank) if axis != kept]
        # a Relu gives 0 almost surely, and every range holds 0: its minimum need not be searched
        producer = self.graph.producer(tensor)
        is_relu = producer is not None and producer.op_type == "Relu"
        wants_mean = by_channel or observer.needs_values
        return _ReducedTap(
            observer,
            by_channel,
            hi=self._reduce("ReduceMax", tensor, axes),
            lo="" if is_relu else self._reduce("ReduceMin", tensor, axes),
            mean=self._reduce("ReduceMean", tensor, axes) if wants_mean else "",
            part=self._part(tensor, shape or ()) if observer.needs_values else "",
        )

    def proto(self, taps: Collection[Tap]) -> onnx.ModelProto:
        """Return the graph with the inputs and outputs of its taps."""
        proto = self.graph.proto()
        for name in self.strides.values():
            proto.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, [1]))
        for name in dict.fromkeys(name for tap in taps for name in tap.outputs):
            if name not in self.graph.outputs:
                info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
                proto.graph.output.append(info)
        return proto

    def _is_countable(self, shape: NamedShape) -> bool:
        """Whether the number of elements is known before a run."""
        return all(isinstance(dim, int) or dim in self.sizes for dim in shape)

    def _reduce(self, op_type: str, tensor: str, axes: list[int] | None) -> str:
        output = self.graph.fresh(f"{tensor}_{op_type}")
        if axes is None:
            self.graph.add_node(op_type, [tensor], [output], keepdims=0)
        elif self.graph.opset >= 18:
            name = self.graph.add_constant(f"{output}_axes", np.asarray(axes, np.int64))
            self.graph.add_node(op_type, [tensor, name], [output], keepdims=0)
        else:
            self.graph.add_node(op_type, [tensor], [output], keepdims=0, axes=axes)
        return output

    def _part(self, tensor: str, shape: NamedShape) -> str:
        """Take evenly spread values of a tensor; a run says by its strides which."""
        if shape not in self.strides:
            self.strides[shape] = self.graph.fresh(f"{tensor}_stride")
        flat, part = self.graph.fresh(f"{tensor}_flat"), self.graph.fresh(f"{tensor}_part")
        self.graph.add_node("Reshape", [tensor, self._integer(-1)], [flat])
        zero, end = self._integer(0), self._integer(_TO_THE_END)
        self.graph.add_node("Slice", [flat, zero, end, zero, self.strides[shape]], [part])
        return part

    def _integer(self, value: int) -> str:
        if value not in self._integers:
            array = np.asarray([value], np.int64)
            self._integers[value] = self.graph.add_constant("tap_constant", array)
        return self._integers[value]
