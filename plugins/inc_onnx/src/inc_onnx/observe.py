"""Observing: batches run through a session with taps, in parts that are bounded in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from inc_core.errors import CalibrationError
from inc_core.hookspecs.adaptor import AdaptorContext
from inc_core.quant.observers import Observer, sampling_stride
from inc_core.quant.spec import TensorKey
from inc_onnx.graph import Graph
from inc_onnx.inputs import feed, input_infos
from inc_onnx.model import OnnxModel, inline_bytes, new_session, session_options
from inc_onnx.shapes import sizes_of
from inc_onnx.taps import Tap, TapWriter
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
        if inline_bytes(model.proto) > _LARGE_BYTES:
            model.close()  # two float sessions of a large model need not be in memory at once
        self._graph = model.graph
        writer = TapWriter(model.new_graph(), self._names_of_sizes())
        self._taps = _add_taps(writer, model, observers)
        # tensors of one shape are thinned alike
        self._max_elements = max(
            (o.max_elements for o in observers.values() if o.needs_values), default=1
        )
        proto = writer.proto(self._taps)
        options = session_options(model.threads)
        # a plan of memory, made in the first run, stays beside what later ones need for the taps
        options.enable_mem_pattern = False
        self._session = new_session(proto, model.folder, options)
        del proto  # the session has the weights now
        self._strides = writer.strides
        self.infos = tuple(i for i in input_infos(self._session) if i.name in self._graph.inputs)
        self._outputs = list(model.graph.outputs)
        names = [name for tap in self._taps for name in tap.outputs]
        self._wanted = list(dict.fromkeys([*names, *self._outputs]))
        # a fixed first dimension cannot be cut
        self._may_split = all(i.shape and not isinstance(i.shape[0], int) for i in self.infos)

    def observe(self, arrays: Mapping[str, Array]) -> None:
        """Run one batch, in parts that keep small what one run holds."""
        lengths = {len(array) for array in arrays.values() if array.ndim}
        if not self._may_split or len(lengths) != 1:
            self._run(arrays, max(lengths, default=1))
            return
        total, step = lengths.pop(), self._samples_per_run(arrays)
        for start in range(0, total, step):
            part = {name: array[start : start + step] for name, array in arrays.items()}
            self._run(part, min(step, total - start))

    def _samples_per_run(self, arrays: Mapping[str, Array]) -> int:
        sizes = sizes_of(self._graph, arrays)
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
        results = self._session.run(self._wanted, {**arrays, **self._steps(arrays, samples)})
        values = {**arrays, **dict(zip(self._wanted, results, strict=True))}
        # the taps first: they name the tensor in which NaN arose
        for tap in self._taps:
            tap.tell(values, samples)
        _check_outputs(values, self._outputs)

    def _steps(self, arrays: Mapping[str, Array], samples: int) -> dict[str, Array]:
        """Return every how many-th value of a tensor is fetched, for each shape of a tensor."""
        sizes, limit = sizes_of(self._graph, arrays), self._max_elements * samples
        steps = {}
        for shape, name in self._strides.items():
            size = math.prod(dim if isinstance(dim, int) else sizes[dim] for dim in shape)
            steps[name] = np.asarray([sampling_stride(max(size, 1), limit)], np.int64)
        return steps

    def _names_of_sizes(self) -> frozenset[str]:
        dims = (dim for name in self._graph.inputs for dim in self._graph.named_shape(name) or ())
        return frozenset(dim for dim in dims if isinstance(dim, str) and dim)


def _add_taps(
    writer: TapWriter, model: OnnxModel, observers: Mapping[TensorKey, Observer]
) -> list[Tap]:
    tensors = _tensors_by_key(model, writer.graph)
    missing = [key for key in observers if key not in tensors]
    if missing:
        raise CalibrationError(
            f"the model has no tensor of op {missing[0].op!r}, port {missing[0].port!r}: "
            "observe tensors that 'capabilities' names"
        )
    return [writer.add(tensors[key], observer) for key, observer in observers.items()]


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


def _check_outputs(values: Mapping[str, Array], outputs: list[str]) -> None:
    for name in outputs:
        value = values[name]
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and np.isnan(value).any():
            raise CalibrationError(
                f"the model gives NaN in output {name!r} on calibration data; look at the inputs' "
                "range and normalization"
            )
