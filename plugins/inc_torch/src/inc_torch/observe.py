"""Tapping tensors: reduced by torch as they are computed, never kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from inc_core.errors import CalibrationError
from inc_core.quant.observers import Observer, sampling_stride
from inc_core.quant.spec import TensorKey
from inc_torch.editing import copied_nodes
from inc_torch.leaves import shared_module
from inc_torch.model import ModelFacts
from inc_torch.naming import nodes_by_name, op_type
from inc_torch.serialize import tensors_of_graph
from inc_torch.static import ops

# Of one sample in the histogram. 100 samples give 51,200 values, so that the quantiles of range rules
# are known better than the choice of samples allows.
ELEMENTS_PER_SAMPLE = 1 << 9

# of ``ops.conv`` and ``ops.conv_add`` before they differ: input, weight, bias and geometry
_CONV_ARGUMENTS = 10

__all__ = ["Tapped", "TappedLayers", "feed"]


class _Tap(nn.Module):
    """Tells one observer each value that it is called with.

    Args:
        observer: What is told.
        scale: Scale and zero point, where the value is integers.
        is_relu: Whether nothing is below 0.

    Attributes:
        samples: In the batch that runs.
    """

    _is_impure = True  # torch.fx: not dead code, though nobody reads its result

    def __init__(self, observer: Observer, scale: tuple[float, int] | None, is_relu: bool) -> None:
        super().__init__()
        self._observer, self._scale, self._is_relu = observer, scale, is_relu
        self.samples = 0

    def forward(self, value: Tensor) -> None:
        if self._scale is not None:
            value = ops.dequantize(value, *self._scale)
        feed(self._observer, value, self.samples, is_relu=self._is_relu)


class Tapped:
    """A graph that feeds observers on the way.

    Args:
        graph: A graph with names.
        observers: By tensor of the graph.

    Raises:
        CalibrationError: If the graph has no such tensor.
    """

    def __init__(self, graph: fx.GraphModule, observers: Mapping[TensorKey, Observer]) -> None:
        copy = copied_nodes(graph)
        nodes = nodes_by_name(copy) | _absorbed(copy, {key.op for key in observers})
        self._taps: list[_Tap] = []
        root: dict[str, Any] = dict(tensors_of_graph(graph))
        for number, (key, observer) in enumerate(observers.items()):
            node = nodes.get(key.op)
            if node is None or key.port:
                raise CalibrationError(
                    f"the model has no tensor of op {key.op!r}, port {key.port!r}: observe "
                    "tensors that 'capabilities' names"
                )
            _aim_channels(node, observer)
            self._taps.append(_Tap(observer, node.meta.get("inc_scale"), _is_relu(node)))
            root[f"inc_tap_{number}"] = self._taps[-1]
            with copy.inserting_after(node):
                copy.call_module(f"inc_tap_{number}", (node,))
        self._graph = fx.GraphModule(root, copy)

    def run(self, tensors: Sequence[Tensor], samples: int) -> None:
        """Run one batch of so many samples."""
        for tap in self._taps:
            tap.samples = samples
        self._graph(*tensors)


def feed(observer: Observer, value: Tensor, samples: int, *, is_relu: bool = False) -> None:
    """Feed one observer with a tensor of one batch, reduced by torch.

    Args:
        observer: What is fed.
        value: The tensor.
        samples: In the batch.
        is_relu: A ReLU gives 0 almost surely, and every range holds 0: no minimum is searched.
    """
    value = value.detach().float()
    if not value.numel():
        return
    # apart: torch.aminmax takes four times as long on channels-last tensors
    lo, hi = 0.0 if is_relu else float(value.amin()), float(value.amax())
    values = _part(value, samples) if observer.needs_values else None
    if not observer.needs_channels or value.dim() < 2:
        observer.update_reduced(lo, hi, samples, values=values)
        return
    axis = observer.channel_axis % value.dim()
    observer.update_reduced(
        lo,
        hi,
        samples,
        channel_lo=_by_channel(torch.amin, value, axis),
        channel_hi=_by_channel(torch.amax, value, axis),
        channel_sum=_by_channel(torch.sum, value, axis).astype(np.float64),
        channel_count=value.numel() // value.shape[axis],
        values=values,
    )


def _by_channel(reduce: Callable[..., Tensor], value: Tensor, axis: int) -> np.ndarray[Any, Any]:
    """Reduce all dimensions but one."""
    if axis == 1 and _is_channels_last(value):
        # over the batch first: torch is five times as fast over long rows as over short ones
        rows = value.permute(0, 2, 3, 1).reshape(value.shape[0], -1)
        return reduce(reduce(rows, 0).reshape(-1, value.shape[1]), 0).numpy()
    return reduce(value, [dim for dim in range(value.dim()) if dim != axis]).numpy()


def _is_channels_last(value: Tensor) -> bool:
    return value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)


def _part(value: Tensor, samples: int) -> np.ndarray[Any, Any]:
    """Return evenly spread values of a tensor in the order of its memory."""
    flat = (value.permute(0, 2, 3, 1) if _is_channels_last(value) else value).reshape(-1)
    stride = sampling_stride(flat.numel(), ELEMENTS_PER_SAMPLE * samples)
    return flat[::stride].contiguous().numpy()


def _absorbed(copy: fx.Graph, wanted: Collection[str]) -> dict[str, fx.Node]:
    """Give convolutions that a quantized graph adds into another tensor a result of their own again."""
    found = {}
    for node in copy.find_nodes(op="call_function", target=ops.conv_add):
        name, shift = node.meta["inc_absorbed"]
        if name not in wanted:
            continue
        with copy.inserting_after(node):
            alone = copy.call_function(ops.conv, (*node.args[:_CONV_ARGUMENTS], None, 0))
        with copy.inserting_after(alone):
            found[name] = copy.call_function(torch.ops.aten.sub.Tensor, (alone, shift))
    return found


def _is_relu(node: fx.Node) -> bool:
    aten = torch.ops.aten
    if node.target is aten.hardtanh.default:
        return node.args[1:2] == (0,)
    return node.target in (aten.relu.default, aten.relu6.default)


def _aim_channels(node: fx.Node, observer: Observer) -> None:
    """Channels of what a linear layer reads are the last dimension, of images the second."""
    if any(op_type(user) == "Linear" for user in node.users if user.op == "call_function"):
        observer.channel_axis = -1


class TappedLayers:
    """A module of the user's own code that feeds observers on the way.

    Args:
        module: The user's module.
        facts: Says the names of its inputs.
        observers: By tensor: what a layer reads or gives.
        layers: By tensor, the layer's path.
        own: Tensors that the module writes to: calibration leaves the given ones alone.
    """

    def __init__(
        self,
        module: nn.Module,
        facts: ModelFacts,
        observers: Mapping[TensorKey, Observer],
        layers: Mapping[TensorKey, str],
        own: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._samples = 0
        self._module = shared_module(module, own)
        self._names = [one.name for one in facts.signature.inputs] if facts.signature else []
        for key, observer in observers.items():
            layer = self._module.get_submodule(layers[key])
            if isinstance(layer, nn.Linear):
                observer.channel_axis = -1
            if key.op == layers[key]:
                layer.register_forward_hook(partial(self._tell_output, observer))
            else:
                layer.register_forward_pre_hook(partial(self._tell_input, observer))

    def run(self, tensors: Sequence[Tensor], samples: int) -> None:
        """Run one batch of so many samples."""
        self._samples = samples
        named = dict(zip(self._names, tensors, strict=False))
        self._module(**named) if named else self._module(*tensors)

    def _tell_input(self, observer: Observer, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        feed(observer, args[0], self._samples)

    def _tell_output(
        self, observer: Observer, layer: nn.Module, args: tuple[Tensor, ...], result: Tensor
    ) -> None:
        feed(observer, result, self._samples)
