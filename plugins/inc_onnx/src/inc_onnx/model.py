"""``OnnxModel``: the native model of this plugin, with a session that is made on first use."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from inc_core.errors import UnsupportedModelError
from inc_core.machine import usable_cores
from inc_core.quant.spec import TensorKey
from inc_onnx.graph import Graph
from inc_onnx.kernels.native.library import register, uses_library
from inc_onnx.weights import WeightCache

__all__ = [
    "OnnxModel",
    "inline_bytes",
    "new_session",
    "session_options",
    "whole_proto",
    "write_model",
]

# protobuf refuses to serialize 2 GiB or more; the margin leaves room for the graph itself
INLINE_LIMIT_BYTES = (1 << 31) - (1 << 24)
# ONNX Runtime's own switch: where relative external data of a model given as bytes lies
_EXTERNAL_FOLDER_KEY = "session.model_external_initializers_file_folder_path"


class OnnxModel:
    """A ``ModelProto``, where its external data lies, and the session that runs it.

    Attributes:
        proto: The graph and its weights. It must not be changed.
        folder: Folder of the external data; ``None`` if all weights are inline.
        threads: Threads of one inference; 0 leaves it to the runtime.
        obstacle: Why nothing in this model can be quantized; empty if it can.
        weights: Quantized weights of this float model, kept for all trials.
        channel_factors: By what equalization divided the channels of tensors, ``(C,)`` by tensor.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        folder: Path | None = None,
        *,
        threads: int = 0,
        obstacle: str = "",
    ) -> None:
        self.proto = proto
        self.folder = folder
        self.threads = threads
        self.obstacle = obstacle
        self.weights = WeightCache()
        self.channel_factors: Mapping[TensorKey, np.ndarray[Any, Any]] = {}
        self._session: ort.InferenceSession | None = None
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        """The graph, for reading only; make a new ``Graph`` to change something."""
        if self._graph is None:
            self._graph = Graph(self.proto, self.folder)
        return self._graph

    def new_graph(self) -> Graph:
        """Return a graph that may be changed."""
        return Graph(self.proto, self.folder)

    @property
    def session(self) -> ort.InferenceSession:
        """The session, created at the first use.

        Raises:
            UnsupportedModelError: If ONNX Runtime refuses the model.
        """
        if self._session is None:
            self._session = new_session(self.proto, self.folder, session_options(self.threads))
        return self._session

    def close(self) -> None:
        """Free the session; the next use makes a new one."""
        self._session = None


def session_options(threads: int = 0) -> ort.SessionOptions:
    """Return the options of every session of this plugin: quiet, no more threads than cores.

    Args:
        threads: Of one inference; 0 leaves it to the runtime, which asks the processor for its cores and
            not the process for those that it may use: two threads that wait for each other on one core
            take twice the time. So a process that is held to some cores is given as many threads.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions; printed as well they are noise
    if not threads and usable_cores() < (os.cpu_count() or 1):
        threads = usable_cores()
    if threads:
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    return options


def inline_bytes(proto: onnx.ModelProto) -> int:
    """Return the bytes of the weights that are in a model itself, not in files beside it.

    Read off their shapes: ``ByteSize`` of protobuf serializes all of them, and fails beyond 2 GiB.
    """
    return sum(_bytes_of(t) for t in proto.graph.initializer if not _is_external(t))


def whole_proto(model: OnnxModel) -> onnx.ModelProto:
    """Return a model's proto with all weights inside, where one message can hold them.

    A larger one keeps references to files in ``model.folder``.
    """
    proto = model.proto
    total = sum(_bytes_of(tensor) for tensor in proto.graph.initializer)
    if model.folder is None or total >= INLINE_LIMIT_BYTES:
        return proto
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    onnx.load_external_data_for_model(copy, str(model.folder))
    return copy


def _bytes_of(tensor: TensorProto) -> int:
    return math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _is_external(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def new_session(
    proto: onnx.ModelProto, folder: Path | None, options: ort.SessionOptions
) -> ort.InferenceSession:
    """Create a session on the CPU.

    Raises:
        UnsupportedModelError: If ONNX Runtime refuses the model.
    """
    try:
        if uses_library(proto):
            register(options)
        if folder is not None:
            options.add_session_config_entry(_EXTERNAL_FOLDER_KEY, str(folder))
        if inline_bytes(proto) < INLINE_LIMIT_BYTES:
            source: Any = proto.SerializeToString()
            return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return _session_of_large(proto, folder, options)
    except UnsupportedModelError:
        raise
    except Exception as error:
        raise UnsupportedModelError(
            f"ONNX Runtime {ort.__version__} cannot run this model: {error}"
        ) from error


def _session_of_large(
    proto: onnx.ModelProto, folder: Path | None, options: ort.SessionOptions
) -> ort.InferenceSession:
    """Create a session of a model of 2 GiB or more, through a temporary file."""
    with tempfile.TemporaryDirectory() as temporary:
        path = write_model(proto, folder, Path(temporary))
        options.add_session_config_entry(_EXTERNAL_FOLDER_KEY, temporary)
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def write_model(
    proto: onnx.ModelProto, folder: Path | None, target: Path, name: str = "model.onnx"
) -> Path:
    """Write a model into an existing folder, with one ``.data`` file beside it where it is large.

    Args:
        proto: The model; it is not changed.
        folder: Where its external data lies, if it has any.
        target: An existing folder.
        name: File name of the graph.

    Returns:
        The path of the graph file.
    """
    path = target / name
    external = any(_is_external(tensor) for tensor in proto.graph.initializer)
    if not external and inline_bytes(proto) < INLINE_LIMIT_BYTES:
        path.write_bytes(proto.SerializeToString())
        return path
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    if external:
        onnx.load_external_data_for_model(copy, str(folder or ""))
    (target / (name + ".data")).unlink(missing_ok=True)  # onnx would append to it
    onnx.save_model(
        copy, str(path), save_as_external_data=True, location=name + ".data", size_threshold=1024
    )
    return path
