"""Tapping tensors: what a session computes on the way is reduced inside it, or fetched in small parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from inc_core.errors import CalibrationError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.observers import Observer
from inc_core.quant.spec import TensorKey
from inc_onnx.graph import Graph
from inc_onnx.inputs import feed, input_infos
from inc_onnx.model import OnnxModel, new_session, session_options
from inc_onnx.topology import tensor_key
from inc_onnx.writer import integer_tensors

__all__ = ["observe"]

# all that one run computes, and may have to hold at once, stays near this; one sample is the least
RUN_BYTES = 64 << 20
# more samples in one run are not faster on a processor
RUN_SAMPLES = 64
_FLOAT_BYTES = 4
_LARGE_BYTES = 64 << 20

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Tap:
    """One observed tensor and the session outputs that tell about it."""

    tensor: str
    observer: Observer
    outputs: tuple[str, ...]
    is_input: bool = False

    def tell(self, values: Mapping[str, Array], samples: int) -> None:
        """Feed the observer from the arrays of one run."""
        if self.is_input or self.observer.needs_values:
            self.observer.update(values[self.tensor])
            return
        lo_name, hi_name, *channel_names = self.outputs
        lo = float(values[lo_name]) if lo_name else 0.0
        hi = float(values[hi_name])
        if not channel_names:
            self.observer.update_reduced(lo, hi, samples)
            return
        channel_lo, channel_hi, mean = (values[name] for name in channel_names)
        self.observer.update_reduced(
            lo,
            hi,
            samples,
            channel_lo=channel_lo,
            channel_hi=channel_hi,
            channel_sum=mean * samples,
            channel_count=samples,
        )


def observe(
    model: OnnxModel,
    batches: Iterable[Any],
    observers: Mapping[TensorKey, Observer],
    context: AdaptorContext,
) -> None:
    """Run batches of inputs and feed the observers; see ``Adaptor.observe``.

    Raises:
        CalibrationError: If a tensor is unknown, or the model gives NaN.
    """
    run = _TappedRun(model, observers)
    for batch in batches:
        run.observe(feed(run.infos, batch, context.inputs))


class _TappedRun:
    """A session of the model with the taps as further outputs."""

    def __init__(self, model: OnnxModel, observers: Mapping[TensorKey, Observer]) -> None:
        if model.proto.ByteSize() > _LARGE_BYTES:
            model.close()  # two float sessions of a large model need not be in memory at once
        proto, self._taps = _tapped(model, observers)
        self._session = new_session(proto, model.folder, session_options(model.threads))
        del proto  # the session has the weights now
        self.infos = input_infos(self._session)
        self._outputs = list(model.graph.outputs)
        names = [name for tap in self._taps for name in tap.outputs if name]
        self._wanted = list(dict.fromkeys([*names, *self._outputs]))
        # a fixed first dimension cannot be cut
        self._may_split = all(i.shape and not isinstance(i.shape[0], int) for i in self.infos)
        self._graph = model.graph

    def observe(self, arrays: Mapping[str, Array]) -> None:
        """Run one batch, in parts that keep what is fetched small."""
        lengths = {len(array) for array in arrays.values() if array.ndim}
        if not self._may_split or len(lengths) != 1:
            self._run(arrays, max(lengths, default=1))
            return
        total, step = lengths.pop(), self._samples_per_run(arrays)
        for start in range(0, total, step):
            part = {name: array[start : start + step] for name, array in arrays.items()}
            self._run(part, min(step, total - start))

    def _samples_per_run(self, arrays: Mapping[str, Array]) -> int:
        sizes: dict[str, int] = {}
        for name, array in arrays.items():
            for dim, size in zip(self._graph.named_shape(name) or (), array.shape, strict=False):
                if isinstance(dim, str):
                    sizes[dim] = size
        longest = max(sizes.values(), default=1)
        batch = {str((self._graph.named_shape(name) or ("",))[0]) for name in arrays}
        sizes.update(dict.fromkeys(batch, 1))
        elements = 0
        for name in (name for node in self._graph.nodes for name in node.output):
            shape = self._graph.named_shape(name) or ()
            # a dimension without a name is taken for the longest that the batch has
            dims = [dim if isinstance(dim, int) else sizes.get(dim, longest) for dim in shape]
            elements += int(np.prod(dims, dtype=np.float64))
        return int(np.clip(RUN_BYTES // max(elements * _FLOAT_BYTES, 1), 1, RUN_SAMPLES))

    def _run(self, arrays: Mapping[str, Array], samples: int) -> None:
        results = self._session.run(self._wanted, dict(arrays))
        values = dict(zip(self._wanted, results, strict=True))
        # the taps first: they name the tensor in which NaN arose
        for tap in self._taps:
            tap.tell(arrays if tap.is_input else values, samples)
        _check_outputs(values, self._outputs)


def _tapped(
    model: OnnxModel, observers: Mapping[TensorKey, Observer]
) -> tuple[onnx.ModelProto, list[_Tap]]:
    graph = model.new_graph()
    tensors = _tensors_by_key(model, graph)
    missing = [key for key in observers if key not in tensors]
    if missing:
        raise CalibrationError(
            f"the model has no tensor of op {missing[0].op!r}, port {missing[0].port!r}: "
            "observe tensors that 'capabilities' names"
        )
    taps = [_add_tap(graph, tensors[key], observer) for key, observer in observers.items()]
    proto = graph.proto()
    given = set(graph.outputs)
    for name in dict.fromkeys(name for tap in taps for name in tap.outputs):
        if name and name not in given:
            proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return proto, taps


def _tensors_by_key(model: OnnxModel, graph: Graph) -> dict[TensorKey, str]:
    tensors = {tensor_key(graph, name): name for name in graph.inputs}
    for node in graph.nodes:
        for name in node.output:
            if name:
                tensors[tensor_key(graph, name)] = name
    for key, parts in integer_tensors(model.proto).items():
        tensors[key] = graph.fresh(f"{parts[0]}_observed")
        graph.add_node("DequantizeLinear", parts, [tensors[key]])
    return tensors


def _add_tap(graph: Graph, tensor: str, observer: Observer) -> _Tap:
    if tensor in graph.inputs:
        return _Tap(tensor, observer, (), is_input=True)
    if observer.needs_values:
        return _Tap(tensor, observer, (tensor,))
    # a Relu gives 0 almost surely, and every range holds 0: its minimum need not be searched
    producer = graph.producer(tensor)
    is_relu = producer is not None and producer.op_type == "Relu"
    outputs = ["" if is_relu else _reduce(graph, "ReduceMin", tensor, None)]
    outputs.append(_reduce(graph, "ReduceMax", tensor, None))
    if observer.needs_channels:
        rank = len(graph.shape(tensor) or ())
        axes = [axis for axis in range(rank) if axis != observer.channel_axis % max(rank, 1)]
        outputs += [
            _reduce(graph, op, tensor, axes) for op in ("ReduceMin", "ReduceMax", "ReduceMean")
        ]
    return _Tap(tensor, observer, tuple(outputs))


def _reduce(graph: Graph, op_type: str, tensor: str, axes: list[int] | None) -> str:
    output = graph.fresh(f"{tensor}_{op_type}")
    if axes is None:
        graph.add_node(op_type, [tensor], [output], keepdims=0)
    elif graph.opset >= 18:
        name = graph.add_constant(f"{output}_axes", np.asarray(axes, np.int64))
        graph.add_node(op_type, [tensor, name], [output], keepdims=0)
    else:
        graph.add_node(op_type, [tensor], [output], keepdims=0, axes=axes)
    return output


def _check_outputs(values: Mapping[str, Array], outputs: list[str]) -> None:
    for name in outputs:
        value = values[name]
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.isnan(value).any():
            raise CalibrationError(
                f"the model gives NaN in output {name!r} on calibration data; look at the inputs' "
                "range and normalization"
            )
